"""`medseg export`."""

import nibabel
import numpy as np
import pytest
from slicerio import read_segmentation

from medseg.__main__ import run


@pytest.fixture
def label_map(tmp_path):
    voxels = np.zeros((5, 6, 7), np.uint8)
    voxels[1:3, 2:4, 3:5] = 2
    path = tmp_path / "scan_seg.nii.gz"
    nibabel.save(nibabel.Nifti1Image(voxels, np.diag([1.0, 2.0, 3.0, 1.0])), path)
    return path


def test_a_label_map_becomes_a_segmentation_with_names(label_map, capsys):
    assert run(["export", str(label_map), "--task", "hippocampus"]) == 0
    target = label_map.with_name("scan_seg.seg.nrrd")
    assert capsys.readouterr().out == f"{target}\n"
    segmentation = read_segmentation(str(target))
    assert (segmentation["voxels"] == 2).sum() == 8
    assert len(segmentation["segments"]) == 2


def test_values_that_the_task_lacks_are_refused(label_map, capsys):
    voxels = np.full((4, 4, 4), 9, np.uint8)
    nibabel.save(nibabel.Nifti1Image(voxels, np.eye(4)), label_map)
    assert run(["export", str(label_map), "--task", "hippocampus"]) == 4
    assert "holds the value 9" in capsys.readouterr().err


def test_a_label_map_is_not_written_over_itself(label_map, capsys):
    before = label_map.read_bytes()
    assert run(["export", str(label_map), "--task", "hippocampus", "--format", "nii.gz"]) == 2
    assert "over itself" in capsys.readouterr().err
    assert label_map.read_bytes() == before
