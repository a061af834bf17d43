"""ACDC: frames by number, both of a patient in one part."""

import pytest

from medseg.data.folds import choose
from medseg.data.layouts import acdc
from medseg.errors import DataError
from tests.fake_data import FORMS


@pytest.fixture
def recognised(tmp_path):
    def done(form):
        FORMS[form](tmp_path)
        return acdc.recognise(tmp_path)

    return done


@pytest.mark.parametrize("form", ["acdc", "acdc_older"])
def test_frames_are_those_that_info_cfg_names(recognised, form):
    found = recognised(form)
    names = [case.name for case in found.labelled if case.patient == "patient001"]
    assert names == ["patient001_frame04", "patient001_frame11"]  # ED is not frame 1
    assert found.labels == {1: "right_ventricle", 2: "myocardium", 3: "left_ventricle"}


def test_testing_patients_have_labels_in_the_newer_archive_alone(recognised, tmp_path):
    labelled = {case.patient for case in recognised("acdc").labelled}
    assert "patient101" in labelled
    for path in tmp_path.rglob("patient101*_gt.nii.gz"):
        path.unlink()
    found = acdc.recognise(tmp_path)
    assert "patient101" not in {case.patient for case in found.labelled}
    assert sum(case.patient == "patient101" for case in found.cases) == 2


def test_the_published_list_is_nnformer_s(recognised):
    (part,) = recognised("acdc").splits["70-10-20"]
    assert [len(part.training), len(part.validation), len(part.held_out)] == [70, 10, 20]
    numbers = [int(name.removeprefix("patient")) for name in part.training]
    assert numbers[:8] == [1, 4, 5, 6, 7, 10, 11, 13]
    assert numbers[-8:] == [78, 80, 82, 83, 84, 85, 86, 87]
    assert part.held_out[:3] == ("patient002", "patient003", "patient008")


def test_both_frames_of_a_patient_are_in_one_part(recognised):
    found = recognised("acdc")
    parts = choose(found.labelled, found.splits)
    assert {case.patient for case in parts.training} == {"patient001", "patient004"}
    assert {case.patient for case in parts.watched} == {"patient089"}
    assert {case.patient for case in parts.held_out} == {"patient002", "patient003"}
    assert [len(parts.training), len(parts.watched), len(parts.held_out)] == [4, 2, 4]
    for fold in range(5):
        apart = choose(found.labelled, found.splits, name="folds", fold=fold)
        held_out = {case.patient for case in apart.held_out}
        assert not held_out & {case.patient for case in apart.training}


def test_the_folder_of_a_patient_is_recognised(recognised, tmp_path):
    recognised("acdc_older")
    found = acdc.recognise(tmp_path / "training" / "patient002")
    assert [case.name for case in found.cases] == ["patient002_frame01", "patient002_frame09"]


def test_a_frame_that_is_not_there_is_named_as_it_should_be(recognised, tmp_path):
    recognised("acdc")
    missing = next(tmp_path.rglob("patient001_frame11.nii.gz"))
    missing.unlink()
    assert (missing,) in [case.images for case in acdc.recognise(tmp_path).cases]


def test_a_patient_that_is_there_twice_is_refused(recognised):
    recognised("acdc")
    with pytest.raises(DataError, match=r"several Info\.cfg of patient001"):
        recognised("acdc_older")


def test_the_challenge_s_test_patients_are_in_no_fold(recognised):
    parts = choose(recognised("acdc").labelled, {}, name="folds")
    assert {case.subject for case in parts.cases} == {f"patient{n:03d}" for n in (1, 2, 3, 4, 89)}
