"""BraTS: editions by naming, confirmed by label values."""

import json

import pytest

from medseg.data import layouts
from medseg.data.layouts import brats
from medseg.errors import DataError
from tests.fake_data import FORMS, _brats


@pytest.fixture
def recognised(tmp_path):
    """Makes a fake data set and recognises it."""

    def done(form):
        FORMS[form](tmp_path)
        return brats.recognise(tmp_path)

    return done


@pytest.mark.parametrize(
    ("form", "edition", "enhancing"),
    [
        ("brats_2018", "BraTS 2018", 4),
        ("brats_2020", "BraTS 2020", 4),
        ("brats_2021", "BraTS 2021", 4),
        ("brats_kaggle", "BraTS 2020", 4),
        ("brats_2023", "BraTS 2023 or later", 3),
        ("brats_2024", "BraTS 2023 or later", 3),
        ("brats_decathlon", "BraTS as task 01 of the Medical Segmentation Decathlon", 3),
    ],
)
def test_an_edition_is_known_by_its_names_and_4_is_never_taken_for_another(
    recognised, form, edition, enhancing
):
    found = recognised(form)
    assert found.edition == edition
    assert found.labels[enhancing] == "enhancing"
    assert found.labels.get(4) == {"brats_2023": "resection_cavity"}.get(
        form.replace("2024", "2023"), "enhancing" if enhancing == 4 else None
    )


def test_oedema_and_necrosis_change_places_in_the_decathlon(recognised):
    assert recognised("brats_decathlon").labels == {1: "oedema", 2: "necrosis", 3: "enhancing"}


def test_the_segmentation_with_an_odd_name_is_found(recognised):
    cases = {case.name: case for case in recognised("brats_2020").cases}
    assert cases["BraTS20_Training_355"].label.name == "W39_1998.09.19_Segm.nii.gz"
    assert cases["BraTS20_Validation_001"].label is None


def test_examinations_of_one_patient_belong_together(recognised):
    patients = [case.subject for case in recognised("brats_2024").cases]
    assert patients[:2] == ["BraTS-GLI-00005"] * 2
    assert len(set(patients)) == 3


def test_the_folder_of_a_single_case_is_recognised(recognised, tmp_path):
    recognised("brats_2021")
    (case,) = brats.recognise(tmp_path / "BraTS2021_Training_Data" / "BraTS2021_00001").cases
    assert [path.name.split("_")[-1] for path in case.images] == [
        "t1.nii.gz",
        "t1ce.nii.gz",
        "t2.nii.gz",
        "flair.nii.gz",
    ]


def test_a_file_that_a_case_lacks_is_named_as_it_should_be(recognised, tmp_path):
    recognised("brats_2023")
    missing = next(tmp_path.rglob("*00001-000-t2w.nii.gz"))
    missing.unlink()
    assert missing in brats.recognise(tmp_path).cases[1].images


def test_two_editions_side_by_side_are_refused(recognised):
    recognised("brats_2021")
    with pytest.raises(DataError, match=r"mixes the names of 2018 to 2021 .* Give the folder of"):
        recognised("brats_2023")


@pytest.mark.parametrize(
    ("form", "values", "said"),
    [
        ("brats_2021", {1, 2, 4}, "those of BraTS 2021"),
        ("brats_2021", {2}, "those of BraTS 2021"),
        ("brats_2023", {1, 2, 3}, "BraTS 2023: no resection cavities"),
        ("brats_2023", {1, 2, 3, 4}, "BraTS 2024: 4 is the resection cavity"),
        ("brats_decathlon", {1, 2, 3}, "task 01"),
    ],
)
def test_the_values_of_the_whole_set_confirm_the_edition(recognised, form, values, said):
    assert said in layouts.confirm(recognised(form), dict.fromkeys([0, *values], 9))


@pytest.mark.parametrize(
    ("form", "values"),
    [
        ("brats_2021", {1, 2, 3}),  # renumbered, or newer files with older names
        ("brats_2021", {1, 2, 3, 4}),
        ("brats_2023", {1, 2, 4}),  # older label maps with newer names
        ("brats_2023", {1, 2, 3, 5}),
        ("brats_decathlon", {1, 2, 4}),
    ],
)
def test_a_contradiction_stops_with_an_explanation(recognised, form, values):
    with pytest.raises(DataError, match=r"named as in BraTS.*values mean 1 .*hold .*\. Find out"):
        layouts.confirm(recognised(form), dict.fromkeys([0, *values], 9))


def test_without_labels_nothing_is_confirmed(recognised):
    assert layouts.confirm(recognised("brats_2021"), {0: 9}) is None


def test_what_macos_left_behind_is_skipped(tmp_path):
    _brats(tmp_path, "BraTS2021_00000", 0, brats._CHANNELS, "_", {"necrosis": 1})
    folder = tmp_path / "BraTS2021_00000"
    (folder / "._BraTS2021_00000_seg.nii.gz").write_bytes(b"")
    (case,) = brats.recognise(tmp_path).cases
    assert case.label == folder / "BraTS2021_00000_seg.nii.gz"


def test_the_decathlon_s_description_says_which_value_is_which_part(recognised, tmp_path):
    recognised("brats_decathlon")
    path = tmp_path / "Task01_BrainTumour" / "dataset.json"
    names = {"1": "necrotic / non-enhancing", "2": "peritumoral edema", "3": "GD-enhancing tumor"}
    path.write_text(json.dumps(json.loads(path.read_text()) | {"labels": names}))
    assert brats.recognise(tmp_path).labels == {1: "necrosis", 2: "oedema", 3: "enhancing"}
    names["2"] = "other"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"labels": names}))
    assert brats.recognise(tmp_path) is None  # what the values mean is not known


def test_children_s_tumours_have_values_of_their_own(tmp_path):
    values = {"enhancing": 1, "necrosis": 2, "oedema": 4}
    _brats(tmp_path, "BraTS-PED-00001-000", 0, ("t1n", "t1c", "t2w", "t2f"), "-", values)
    found = brats.recognise(tmp_path)
    with pytest.raises(DataError, match=r"children's tumours .* 1 enhancing, .* task of your own"):
        layouts.confirm(found, dict.fromkeys([0, 1, 2, 3, 4], 9))
    assert "BraTS 2023" in layouts.confirm(found, dict.fromkeys([0, 1, 2, 3], 9))
