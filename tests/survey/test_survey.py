"""A data set looked at as a whole."""

import pytest

from medseg.data import layouts
from medseg.data.folds import Split
from medseg.errors import DataError, ImageError
from medseg.survey.findings import Severity
from medseg.survey.survey import look, require_usable
from tests.fake_data import FORMS


def test_sound_data_are_sound(survey_of):
    survey = survey_of("acdc")
    assert survey.sound
    require_usable(survey)
    assert survey.split == "70-10-20"
    assert survey.parts["patient001_frame04"] == "training"
    assert survey.parts["patient089_frame04"] == "validation"
    assert survey.parts["patient002_frame01"] == "held out"
    (unused,) = survey.findings
    assert unused.severity is Severity.NOTE
    assert "patient101_frame04" in unused.case


def test_a_single_fault_is_raised_as_it_is(survey_of):
    survey = survey_of("brats_2021", lambda root: next(root.rglob("*_t1ce.nii.gz")).unlink())
    assert not survey.sound
    with pytest.raises(ImageError, match=r"_t1ce\.nii\.gz: there is no such file"):
        require_usable(survey)


def test_several_faults_are_listed_with_their_cases(survey_of):
    def damage(root):
        for path in sorted(root.rglob("*_flair.nii.gz"))[:2]:
            path.write_bytes(b"")

    with pytest.raises(DataError, match=r"2 cases cannot be used: BraTS2021_.*; BraTS2021_"):
        require_usable(survey_of("brats_2021", damage))


def test_the_worst_comes_first_and_cases_are_found_again(survey_of):
    def damage(root):
        next(root.rglob("*Training_001_t1.nii.gz")).write_bytes(b"")

    survey = survey_of("brats_2020", damage)
    assert [finding.severity for finding in survey.findings] == [Severity.ERROR, Severity.NOTE]
    labelled = survey.data_set.labelled[:2]
    assert [one.case for one in survey.of(labelled)] == [case.name for case in labelled]


def test_notes_of_the_layout_and_of_the_task_are_kept(survey_of):
    notes = " ".join(survey_of("synapse_copies").notes)
    assert "distances are in voxels" in notes
    assert "predictions are written with the data's values" in notes


@pytest.mark.usefixtures("home")
def test_a_patient_on_both_sides_of_a_split_is_told(tmp_path):
    FORMS["acdc"](tmp_path / "acdc")
    matched = layouts.find(tmp_path / "acdc")
    end_diastole, end_systole, *others = matched.data_set.labelled
    parts = Split(training=(end_diastole, *others[:2]), held_out=(end_systole,), name="by frame")
    survey = look(matched, parts, on_case=lambda _: None)
    (finding,) = [each for each in survey.findings if "both sides" in each.cause]
    assert (finding.case, finding.severity) == ("patient001", Severity.SUSPECT)
    assert not survey.sound
