import json

import numpy as np
import pytest

from medseg.data import layouts
from medseg.data.cases import read_image, read_labels
from medseg.data.folds import split
from medseg.errors import DataError

LABELS = {"0": "background", "1": "Anterior", "2": "Posterior"}


def entry(name):
    return {"image": f"./imagesTr/{name}.nii.gz", "label": f"./labelsTr/{name}.nii.gz"}


@pytest.fixture
def folder(tmp_path, put):
    """Two cases as in the published archives."""
    root = tmp_path / "Task04_Hippocampus"
    for name in ("hippocampus_003", "hippocampus_001"):
        for part in ("imagesTr", "labelsTr"):
            put(root / part / f"{name}.nii.gz", np.zeros((2, 2, 2), dtype=np.uint8))
            (root / part / f"._{name}.nii.gz").write_bytes(b"left by macOS")
    return root


@pytest.fixture
def listed(folder, hippocampus_task):
    """Writes dataset.json with these fields and lists the cases."""

    def done(root=None, encoding="utf-8", **fields):
        fields = {"labels": LABELS, "training": [entry("hippocampus_001")], **fields}
        (folder / "dataset.json").write_text(json.dumps(fields), encoding=encoding)
        return layouts.cases(root or folder, hippocampus_task)

    return done


def test_a_case_is_called_like_its_image_and_knows_its_files(listed, folder):
    (case,) = listed()
    assert case.name == "hippocampus_001"
    assert case.images == (folder / "imagesTr/hippocampus_001.nii.gz",)
    assert case.label == folder / "labelsTr/hippocampus_001.nii.gz"


def test_the_list_is_trusted_over_the_count_and_over_the_folder(listed):
    assert len(listed(numTraining=260)) == 1


def test_what_macos_left_behind_is_skipped(listed):
    names = ("._hippocampus_001", "hippocampus_001", "hippocampus_003")
    found = listed(training=[entry(name) for name in names])
    assert [case.name for case in found] == ["hippocampus_001", "hippocampus_003"]


def test_a_byte_order_mark_does_no_harm(listed):
    assert len(listed(encoding="utf-8-sig")) == 1


def test_the_folder_around_may_be_given(listed, tmp_path):
    assert len(listed(root=tmp_path)) == 1


def test_two_data_sets_in_the_folder_around_are_refused(listed, tmp_path):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "dataset.json").write_text("{}")
    with pytest.raises(DataError, match="holds 2 data sets"):
        listed(root=tmp_path)


def test_without_its_description_the_folder_is_a_plain_one(folder, hippocampus_task):
    found = layouts.find(folder, hippocampus_task).data_set
    assert (found.layout, len(found.cases)) == ("folder", 2)


@pytest.mark.parametrize("part", ["imagesTr", "labelsTr"])
def test_a_listed_file_that_is_not_there_is_kept_to_be_found_when_it_is_read(listed, folder, part):
    path = folder / part / "hippocampus_001.nii.gz"
    path.unlink()
    (case,) = listed()
    assert path in (*case.images, case.label)


def test_test_cases_that_are_there_have_no_label_map(listed, folder, put, hippocampus_task):
    put(folder / "imagesTs" / "hippocampus_002.nii.gz", np.zeros((2, 2, 2), dtype=np.uint8))
    listed(test=["./imagesTs/hippocampus_002.nii.gz", "./imagesTs/hippocampus_005.nii.gz"])
    found = layouts.find(folder, hippocampus_task).data_set.cases
    assert [(case.name, case.label is None) for case in found] == [
        ("hippocampus_001", False),
        ("hippocampus_002", True),
    ]


def test_any_task_of_the_decathlon_is_made_of_its_description(listed, folder):
    listed(name="Spleen", modality={"0": "MRI"}, labels=LABELS)
    labels = {"0": "background", "1": "left thing", "2": "Cancer (all)"}
    document = json.loads((folder / "dataset.json").read_text()) | {"labels": labels}
    document["modality"] = {"0": "CT"}
    (folder / "dataset.json").write_text(json.dumps(document))
    task = layouts.find(folder).task
    assert task.channels == {"ct": "ct"}
    assert {name: label.value for name, label in task.labels.items()} == {
        "left_thing": 1,
        "cancer_all": 2,
    }
    assert task.mirror_axes == ()


def test_the_shipped_task_is_found_by_the_name_of_the_data(listed, folder, hippocampus_task):
    listed(name="Hippocampus", modality={"0": "MRI"})
    assert layouts.find(folder).task == hippocampus_task


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "3", "{}", '{"training": 3}', '{"training": ["a.nii.gz"]}'],
)
def test_a_damaged_description_is_refused(folder, hippocampus_task, text):
    (folder / "dataset.json").write_text(text)
    with pytest.raises(DataError, match=r"dataset\.json: is not a Decathlon description"):
        layouts.cases(folder, hippocampus_task)


def test_bytes_that_are_no_text_are_refused(folder, hippocampus_task):
    (folder / "dataset.json").write_bytes(b"\xff\xfe\x00\x80")
    with pytest.raises(DataError, match="is not a Decathlon description"):
        layouts.cases(folder, hippocampus_task)


@pytest.mark.parametrize("broken", [{"image": "a.nii.gz"}, {"image": 3, "label": "a.nii.gz"}])
def test_an_entry_without_two_files_is_refused(listed, broken):
    with pytest.raises(DataError, match="is not a Decathlon description"):
        listed(training=[broken])


def test_an_empty_list_is_refused(listed):
    with pytest.raises(DataError, match="lists no training cases"):
        listed(training=[])


def test_labels_of_another_task_are_refused(listed):
    with pytest.raises(DataError, match=r"has the labels liver, which task hippocampus does not"):
        listed(labels={**LABELS, "3": "liver"})


def test_label_values_of_another_task_are_refused_where_names_say_nothing(listed):
    with pytest.raises(DataError, match=r"values \[1, 2, 3\], but task hippocampus knows \[1, 2\]"):
        listed(labels={"0": "background", "1": "L1", "2": "L2", "3": "L3"})


@pytest.mark.parametrize("labels", [{"background": 0, "liver": 1}, None, 7])
def test_labels_written_another_way_are_refused(listed, labels):
    with pytest.raises(DataError, match=r"dataset\.json: has 'labels' that are not of the form"):
        listed(labels=labels)


@pytest.fixture
def real_cases(real_data, hippocampus_task):
    return layouts.cases(real_data / "hippocampus", hippocampus_task)


@pytest.mark.real_data
def test_the_published_hippocampi_are_listed_and_split_as_nnunet_does(real_cases):
    assert len(real_cases) == 208
    assert [case.name for case in real_cases[:2]] == ["hippocampus_001", "hippocampus_003"]
    parts = split(real_cases, 0)
    assert (len(parts.training), len(parts.held_out)) == (166, 42)


@pytest.mark.real_data
@pytest.mark.parametrize("number", [0, 60, 207])
def test_published_hippocampi_can_be_used(real_cases, hippocampus_task, number):
    image = read_image(real_cases[number], hippocampus_task)
    label_map = read_labels(real_cases[number], hippocampus_task, image.grid)
    assert set(np.unique(label_map)) == {0, 1, 2}
