"""nnU-Net raw data sets."""

import json

import pytest

from medseg.data import layouts
from medseg.data.folds import choose
from medseg.data.layouts import nnunet
from medseg.errors import DataError
from tests.fake_data import FORMS


@pytest.fixture
def folder(tmp_path):
    FORMS["nnunet"](tmp_path)
    return tmp_path / "nnUNet_raw" / "Dataset137_BraTS2021"


def described(folder, **changes):
    path = folder / "dataset.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    return nnunet.recognise(folder)


def test_channels_of_a_case_are_put_together(folder):
    found = nnunet.recognise(folder)
    assert found.channels == ("T1", "T1ce", "T2", "Flair")
    assert [path.name for path in found.cases[0].images] == [
        f"BraTS2021_00000_000{channel}.nii.gz" for channel in range(4)
    ]


def test_regions_become_regions_of_the_task(folder):
    task = layouts.find(folder).task
    assert task.region_names == ("whole_tumor", "tumor_core", "enhancing_tumor")
    assert task.labels_of("whole_tumor") == ("label_1", "label_2", "label_3")
    assert task.out_channels == 3


def test_plain_labels_become_labels(folder):
    labels = {"background": 0, "Edema": 1, "core": 2, "enhancing": 3}
    assert described(folder, labels=labels).labels == {1: "edema", 2: "core", 3: "enhancing"}


def test_the_given_split_is_used(folder):
    found = nnunet.recognise(folder)
    parts = choose(found.cases, found.splits, fold=0)
    assert [case.name for case in parts.held_out] == ["BraTS2021_00003"]
    assert parts.validation == parts.held_out  # it is cross-validation
    assert [c.name for c in choose(found.cases, found.splits, fold=3).held_out] == [
        "BraTS2021_00000"
    ]


def test_the_split_is_found_among_the_preprocessed_data(folder):
    place = folder.parent.parent / "nnUNet_preprocessed" / folder.name
    place.mkdir(parents=True)
    (folder / "splits_final.json").rename(place / "splits_final.json")
    assert len(nnunet.recognise(folder).splits["splits_final.json"]) == 4
    (place / "splits_final.json").unlink()
    assert nnunet.recognise(folder).splits == {}


def test_a_folder_of_images_is_recognised_by_the_description_beside(folder):
    (folder / "imagesTr").rename(folder / "imagesTs")
    found = nnunet.recognise(folder / "imagesTs")
    assert len(found.cases) == 4
    assert all(case.label is None for case in found.cases)


def test_the_decathlon_s_description_is_left_to_its_own_layout(tmp_path):
    FORMS["decathlon_spleen"](tmp_path)
    assert nnunet.recognise(tmp_path) is None


def test_a_label_of_which_nothing_is_known_is_refused(folder):
    with pytest.raises(DataError, match="the label 'ignore', voxels that nothing is known of"):
        described(folder, labels={"background": 0, "liver": 1, "ignore": 2})


@pytest.mark.parametrize(
    "changes", [{"labels": 3}, {"labels": {"liver": "x"}}, {"channel_names": {"CT": 0}}]
)
def test_a_damaged_description_is_refused(folder, changes):
    with pytest.raises(DataError, match=r"dataset\.json: has no '(labels|channel_names)'"):
        described(folder, **changes)


def test_a_damaged_split_is_refused(folder):
    (folder / "splits_final.json").write_text("[1]")
    with pytest.raises(DataError, match="not a list of parts"):
        nnunet.recognise(folder)


def test_labelled_cases_for_testing_are_in_no_fold(folder):
    for path in [
        *(folder / "imagesTr").glob("*00000_*"),
        folder / "labelsTr/BraTS2021_00000.nii.gz",
    ]:
        place = folder / path.parent.name.replace("Tr", "Ts") / path.name
        place.parent.mkdir(exist_ok=True)
        path.rename(place)
    found = nnunet.recognise(folder)
    assert len(found.labelled) == 4  # it can be scored
    parts = choose(found.labelled, found.splits, name="folds")
    assert "BraTS2021_00000" not in {case.name for case in parts.cases}
    assert len(parts.cases) == 3
