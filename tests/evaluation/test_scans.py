"""Which file is the scan of a case."""

import re

import pytest

from medseg.errors import DataError
from medseg.evaluation import scans


@pytest.fixture
def folder(tmp_path):
    def made(*names):
        for name in names:
            (tmp_path / name).write_bytes(b"")
        return tmp_path

    return made


@pytest.mark.parametrize(
    ("names", "chosen"),
    [
        (["case_1.nii.gz", "case_1_0000.nii.gz"], "case_1.nii.gz"),
        (["case_1_0001.nii.gz", "case_1_0000.nii.gz"], "case_1_0000.nii.gz"),
        (["case_1_flair.nii.gz", "case_1_seg.nii.gz"], "case_1_flair.nii.gz"),
        (["case_1-seg.nii.gz", "case_1-t1c.nii.gz"], "case_1-t1c.nii.gz"),
        (["case_1_MRI.nii.gz", "case_1_gt.nii.gz"], "case_1_MRI.nii.gz"),
    ],
)
def test_a_scan_is_called_as_its_case_or_as_a_channel_of_it(
    names, chosen, folder, hippocampus_task
):
    task = hippocampus_task.model_copy(update={"channels": {"mri": "mr"}})
    found = scans.find(folder(*names), ["case_1"], task)
    assert found["case_1"].name == chosen


@pytest.mark.parametrize(
    "name", ["case_1_2.nii.gz", "case_1_seg.nii.gz", "case_1_gt.nii.gz", "case_1-seg.nii.gz"]
)
def test_other_cases_and_segmentations_are_no_scans(name, folder, hippocampus_task):
    with pytest.raises(DataError, match=re.escape("holds no scan of case_1. Give the folder")):
        scans.find(folder(name), ["case_1"], hippocampus_task)


def test_what_is_scored_is_no_scan(folder, hippocampus_task):
    place = folder("case_1.nii.gz", "case_1_0000.nii.gz")
    sides = {"label_maps": [place / "case_1.nii.gz"]}
    found = scans.find(place, ["case_1"], hippocampus_task, **sides)
    assert found["case_1"].name == "case_1_0000.nii.gz"


def test_all_cases_without_a_scan_are_listed(folder, hippocampus_task, tmp_path):
    with pytest.raises(DataError, match="holds no scan of a, c"):
        scans.find(folder("b.nii.gz"), ["a", "b", "c"], hippocampus_task)
    with pytest.raises(DataError, match="there is no such folder"):
        scans.find(tmp_path / "nowhere", ["a"], hippocampus_task)
