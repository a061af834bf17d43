"""A data set and a task are brought together by names."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medseg import task as tasks
from medseg.data.cases import Case
from medseg.data.data_set import DataSet
from medseg.data.matching import match
from medseg.errors import DataError, UsageError
from medseg.segmentation import FileValues

BRATS = tasks.read("brats")
LABELS = {1: "necrosis", 2: "oedema", 3: "enhancing", 4: "resection_cavity"}
ONE_FILE = Case("a", (Path("a.nii.gz"),), Path("label.nii.gz"))
FILES = Case("a", tuple(Path(name) for name in ("t1n", "t1c", "t2w", "t2f")), Path("seg"))


def data(case=FILES, channels=("t1n", "t1c", "t2w", "t2f"), labels=LABELS, **fields):
    fields = {"spare": True, **fields}
    return DataSet("brats", "BraTS", Path("root"), (case,), channels, {"": labels}, **fields)


def test_the_task_takes_the_values_of_the_data_and_what_it_lacks_is_background():
    matched = match(data(), BRATS)
    assert {name: label.value for name, label in matched.task.labels.items()} == {
        "necrosis": 1,
        "oedema": 2,
        "enhancing": 3,
    }
    assert list(matched.task.labels) == list(BRATS.labels)  # and with it a network's outputs
    (case,) = matched.data_set.cases
    assert case.values == FileValues(((4, 0),))
    assert any("enhancing 3" in note for note in matched.notes)
    assert any("resection_cavity (4)" in note for note in matched.notes)


def test_channels_are_put_into_the_order_of_the_task():
    images = (Path("flair"), Path("t1"), Path("t1gd"), Path("t2"))
    given_order = ("FLAIR", "T1w", "t1gd", "T2w")
    (case,) = match(data(replace(FILES, images=images), given_order), BRATS).data_set.cases
    assert [path.name for path in case.images] == ["t1", "t1gd", "t2", "flair"]
    (case,) = match(data(ONE_FILE, given_order), BRATS).data_set.cases
    assert case.order == (1, 2, 3, 0)


@given(st.permutations(["t1", "t1ce", "t2", "flair"]))
def test_any_order_of_channels_ends_in_that_of_the_task(order):
    images = tuple(Path(name) for name in order)
    (case,) = match(data(replace(FILES, images=images), tuple(order)), BRATS).data_set.cases
    assert [path.name for path in case.images] == list(BRATS.channels)


def test_one_channel_may_be_called_anything(hippocampus_task):
    labels = {1: "Anterior", 2: "Posterior"}
    matched = match(data(ONE_FILE, ("MRI",), labels), hippocampus_task)
    assert matched.data_set.cases == (ONE_FILE,)
    assert matched.task is hippocampus_task
    assert matched.notes == ()


def test_a_channel_that_is_not_there_is_refused():
    with pytest.raises(DataError, match="has the channels t1, t2, but task brats needs t1, t1ce"):
        match(data(ONE_FILE, ("t1", "t2")), BRATS)


def test_exchanged_names_of_labels_are_followed(hippocampus_task):
    labels = {2: "anterior", 1: "posterior"}
    task = match(data(ONE_FILE, ("MRI",), labels), hippocampus_task).task
    assert task.labels["anterior"].value == 2
    assert task.labels["posterior"].value == 1


def test_a_label_that_the_data_lack_is_refused():
    with pytest.raises(DataError, match="has no label enhancing, which task brats needs"):
        match(data(labels={1: "necrosis", 2: "oedema"}), BRATS)


def test_a_label_that_the_task_does_not_know_is_refused_unless_it_may_be_left_out():
    with pytest.raises(DataError, match="has the labels resection_cavity, which task brats"):
        match(data(spare=False), BRATS)
    named = {**LABELS, 4: "background"}
    (case,) = match(data(labels=named, spare=False), BRATS).data_set.cases
    assert case.values == FileValues(((4, 0),))


def test_several_values_of_one_name_are_one_label(hippocampus_task):
    labels = {1: "anterior", 2: "posterior", 7: "posterior"}
    matched = match(data(ONE_FILE, ("MRI",), labels), hippocampus_task)
    values = matched.data_set.cases[0].values
    voxels = np.array([[[1, 2, 7, 0]]], dtype=np.uint8)
    assert values.applied(voxels, matched.task).ravel().tolist() == [1, 2, 2, 0]


def test_a_numbering_is_chosen_by_its_name(hippocampus_task):
    numberings = {
        "one": {1: "anterior", 2: "posterior"},
        "two": {1: "posterior", 2: "anterior"},
    }
    known = replace(data(ONE_FILE, ("MRI",)), numberings=numberings)
    assert match(known, hippocampus_task, "two").task.labels["anterior"].value == 2
    with pytest.raises(UsageError, match=r"no numbering 'three'. Known are: one, two"):
        match(known, hippocampus_task, "three")


@pytest.mark.parametrize(
    ("channel", "modality"), [("CT", "ct"), ("CT portal", "ct"), ("FLAIR", "mr"), ("t2w", "mr")]
)
def test_a_channel_known_to_be_another_is_not_taken_for_the_only_one(
    channel, modality, hippocampus_task
):
    other = data(ONE_FILE, (channel,), {1: "anterior", 2: "posterior"}, modalities=(modality,))
    with pytest.raises(DataError, match=f"has the channels {channel}, but task hippocampus needs"):
        match(other, hippocampus_task)


def test_mr_is_not_taken_for_ct():
    other = data(ONE_FILE, ("MRI",), {1: "spleen"}, modalities=("mr",))
    with pytest.raises(DataError, match="has the channels MRI, but task synapse needs ct"):
        match(other, tasks.read("synapse"))


def test_labels_of_other_names_need_the_very_values_of_the_task(hippocampus_task):
    named = {1: "vorn", 2: "hinten"}
    matched = match(data(ONE_FILE, ("MRI",), named, spare=False), hippocampus_task)
    assert matched.task is hippocampus_task
    assert any("vorn (1) as anterior, hinten (2) as posterior" in note for note in matched.notes)
    with pytest.raises(DataError, match=r"names the label values \[1\], but .* knows \[1, 2\]"):
        match(data(ONE_FILE, ("MRI",), {1: "spleen"}, spare=False), hippocampus_task)


def test_regions_of_other_values_are_refused(phantom_task):
    # the phantom has 1 rim, 2 mantle and 4 inner; whole 1 2 4, core 2 4, innermost 4
    named = {value: f"label_{value}" for value in (1, 2, 4)}
    fields = {"channels": ("a", "b"), "labels": named, "spare": False}
    same = data(ONE_FILE, **fields, regions={"all": (4, 2, 1), "core": (2, 4)})
    assert match(same, phantom_task).task is phantom_task
    with pytest.raises(DataError, match=r"the region core of the values \[1, 4\], and"):
        match(data(ONE_FILE, **fields, regions={"all": (1, 2, 4), "core": (1, 4)}), phantom_task)
