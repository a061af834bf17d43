"""What was measured is kept until something changes."""

import os
from dataclasses import replace

import numpy as np
import pytest

from medseg.data.cases import Case
from medseg.survey import cache
from medseg.survey.measure import measure


@pytest.fixture
def case(tmp_path, put, monkeypatch):
    monkeypatch.setenv("MEDSEG_HOME", str(tmp_path / "home"))
    labels = np.zeros((4, 4, 4), np.uint8)
    labels[0, 0, 0] = 1
    image = put(tmp_path / "a.nii.gz", np.arange(64, dtype=np.int16).reshape(4, 4, 4))
    return Case("a", (image,), put(tmp_path / "a_seg.nii.gz", labels))


@pytest.fixture
def counted():
    """Measures and counts how often."""

    class Counted:
        times = 0

        def __call__(self, case, task):
            self.times += 1
            return measure(case, task)

    return Counted()


def test_a_case_is_read_once_and_comes_back_the_same(case, counted, hippocampus_task):
    first = cache.measured(case, hippocampus_task, counted)
    again = cache.measured(case, hippocampus_task, counted)
    assert counted.times == 1
    for field in (
        "case",
        "shape",
        "inside",
        "spacing_mm",
        "digest",
        "file_values",
        "scan",
        "labels",
    ):
        assert getattr(again, field) == getattr(first, field)
    assert again.intensities == first.intensities
    assert again.centres_mm == first.centres_mm
    assert (again.thumbnail.image == first.thumbnail.image).all()


def test_the_part_that_is_not_background_comes_back_too(case, counted, hippocampus_task):
    task = hippocampus_task.model_copy(update={"outside": "zero"})  # one corner of the case is
    cache.measured(case, task, counted)
    assert cache.measured(case, task, counted).inside == (4, 4, 4)
    assert counted.times == 1


def test_samples_and_problems_come_back_too(case, counted, hippocampus_task):
    ct = hippocampus_task.model_copy(update={"channels": {"ct": "ct"}})
    cache.measured(case, ct, counted)
    assert cache.measured(case, ct, counted).samples["ct"].tolist() == [0.0]
    case.images[0].write_bytes(b"cut off")
    first = cache.measured(case, ct, counted)
    again = cache.measured(case, ct, counted)
    assert counted.times == 2
    assert again.problems == first.problems
    assert str(again.problems[0].error()) == str(first.problems[0].error())


def test_a_changed_file_task_or_mapping_is_measured_anew(case, counted, hippocampus_task):
    cache.measured(case, hippocampus_task, counted)
    os.utime(case.label, ns=(1, 1))
    cache.measured(case, hippocampus_task, counted)
    assert counted.times == 2
    cache.measured(case, hippocampus_task.model_copy(update={"mirror_axes": ()}), counted)
    assert counted.times == 3
    cache.measured(replace(case, order=(0,)), hippocampus_task, counted)
    assert counted.times == 4


@pytest.mark.usefixtures("case")
def test_a_slice_that_changed_is_noticed(tmp_path, counted, hippocampus_task):
    for number in range(3):
        plane = np.arange(12.0).reshape(3, 4) + number
        np.savez(tmp_path / f"c_slice{number:03d}.npz", image=plane, label=np.ones((3, 4)))
    first = tmp_path / "c_slice000.npz"
    sliced = Case("c", (first,), first)
    cache.measured(sliced, hippocampus_task, counted)
    cache.measured(sliced, hippocampus_task, counted)
    assert counted.times == 1
    os.utime(tmp_path / "c_slice002.npz", ns=(1, 1))
    cache.measured(sliced, hippocampus_task, counted)
    assert counted.times == 2


def test_a_damaged_entry_is_made_anew(case, counted, hippocampus_task):
    cache.measured(case, hippocampus_task, counted)
    (entry,) = cache.folder().iterdir()
    entry.write_bytes(b"PK cut off")
    assert cache.measured(case, hippocampus_task, counted).case == "a"
    assert counted.times == 2


def test_a_place_that_cannot_be_written_does_no_harm(case, hippocampus_task, monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("MEDSEG_HOME", str(tmp_path / "file"))
    assert cache.measured(case, hippocampus_task).case == "a"
