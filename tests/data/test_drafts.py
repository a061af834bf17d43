"""A task drafted from what a data set says."""

from pathlib import Path

import numpy as np
import pytest
import yaml

from medseg import task as tasks
from medseg.data.cases import Case
from medseg.data.data_set import DataSet
from medseg.data.drafts import card_facts, card_text, draft, yaml_text
from medseg.errors import DataError


@pytest.fixture
def data(tmp_path, put):
    """One case whose label map holds 2 and 7; the image has no unit."""
    labels = np.zeros((3, 3, 3), np.uint8)
    labels[0, 0, 0], labels[1, 1, 1] = 2, 7
    image = put(tmp_path / "a.nii.gz", np.arange(27, dtype=np.int16).reshape(3, 3, 3))
    case = Case("a", (image,), put(tmp_path / "a_seg.nii.gz", labels))

    def made(**fields):
        return DataSet("folder", "two folders", tmp_path, (case,), ("image",), **fields)

    return made


def test_values_without_names_are_read_from_the_label_maps(data):
    task = draft(data(), "mine")
    assert {name: label.value for name, label in task.labels.items()} == {
        "label_2": 2,
        "label_7": 7,
    }
    assert task.name == "mine"
    assert task.channels == {"image": "mr"}
    assert task.mirror_axes == ("x", "y", "z")


def test_a_label_with_a_side_forbids_mirroring(data):
    labels = {"": {0: "background", 2: "Left Kidney", 7: "liver"}}
    task = draft(data(numberings=labels))
    assert list(task.labels) == ["left_kidney", "liver"]
    assert task.mirror_axes == ()


def test_colours_differ(data):
    labels = {"": {value: f"part {value}" for value in range(1, 60)}}
    colours = [label.colour for label in draft(data(numberings=labels)).labels.values()]
    assert len(set(colours)) == 59


def test_regions_that_cannot_tell_labels_apart_are_refused(data):
    fields = {"numberings": {"": {2: "a", 7: "b"}}, "regions": {"both": (2, 7)}}
    with pytest.raises(DataError, match=r"describes no task: .*cannot be told from"):
        draft(data(**fields))


def test_label_maps_without_a_label_are_refused(tmp_path, put):
    image = put(tmp_path / "a.nii.gz", np.zeros((3, 3, 3), np.uint8))
    empty = DataSet("folder", "", tmp_path, (Case("a", (image,), image),), ("image",))
    with pytest.raises(DataError, match="holds no label"):
        draft(empty)


def test_the_written_task_is_the_drafted_one_and_the_card_agrees(data):
    task = draft(data(), "mine")
    assert tasks.parse(yaml_text(task, data()), where=Path("mine.yaml")) == task
    _, front, prose = card_text(task).split("---\n", 2)
    facts = yaml.safe_load(front)
    assert {key: facts[key] for key in card_facts(task)} == card_facts(task)
    assert "## Known faults" in prose
