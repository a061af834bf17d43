"""`medseg export`."""

import zipfile

import nibabel
import numpy as np
import pydicom
import pytest
from slicerio import read_segmentation

from medseg import formats
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


def test_a_scan_is_not_written_over(label_map, put, capsys):
    scan = put(label_map.with_name("scan.nii.gz"), np.ones((5, 6, 7), np.float32))
    before = scan.read_bytes()
    given = ["--task", "hippocampus", "--reference", str(scan)]
    assert run(["export", str(label_map), *given, "-o", str(scan)]) == 2
    assert "scan.nii.gz: is read and would be written over itself" in capsys.readouterr().err
    assert scan.read_bytes() == before


def test_a_slice_of_the_series_is_not_written_over(label_map, tmp_path, capsys):
    first = tmp_path / "series" / "a.dcm"
    first.parent.mkdir()
    first.write_bytes(b"slice")
    given = ["--task", "hippocampus", "--reference", str(first.parent)]
    assert run(["export", str(label_map), *given, "-o", str(first)]) == 2
    assert "would be written over itself" in capsys.readouterr().err
    assert first.read_bytes() == b"slice"


def test_a_scan_that_is_not_there_is_told(label_map, capsys):
    given = ["--task", "hippocampus", "--to", "dicom-seg", "--reference", "missing"]
    assert run(["export", str(label_map), *given]) == 3
    assert "missing: there is no such file or folder" in capsys.readouterr().err


def test_several_formats_lie_beside_the_label_map(label_map, capsys):
    wanted = "mrb,stl,ctbl,csv,labels.json,label"
    assert run(["export", str(label_map), "--task", "hippocampus", "--to", wanted]) == 0
    names = ("mrb", "ctbl", "csv", "labels.json", "label")
    expected = {f"scan_seg.{name}" for name in names} | {"scan_seg_stl"}
    assert {path.name for path in label_map.parent.iterdir()} == expected | {label_map.name}
    assert len(capsys.readouterr().out.splitlines()) == 6
    assert [path.name for path in (label_map.parent / "scan_seg_stl").iterdir()] == [
        "posterior.stl"
    ]


def test_the_ending_of_the_output_is_a_format(label_map, tmp_path):
    assert (
        run(["export", str(label_map), "--task", "hippocampus", "-o", str(tmp_path / "a.mrb")]) == 0
    )
    assert zipfile.is_zipfile(tmp_path / "a.mrb")


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--to", "obj"], "there is no format 'obj'. Choose from ctbl"),
        (["--to", "mrb,csv", "-o", "a"], "2 formats cannot go into the one file a"),
        (["--to", "dicom-seg"], "refers to a DICOM series, and there is none"),
        (["--to", "csv", "-o", "a.mrb"], "a.mrb is named as mrb, and not as csv"),
    ],
)
def test_what_cannot_be_written_is_refused_with_the_reason(label_map, options, reason, capsys):
    assert run(["export", str(label_map), "--task", "hippocampus", *options]) == 2
    assert reason in " ".join(capsys.readouterr().err.split())


def test_regions_are_layers_if_asked_for(tmp_path, put):
    path = put(tmp_path / "a_seg.nii.gz", np.full((3, 3, 3), 4, np.uint8))
    assert run(["export", str(path), "--task", "brats", "--regions"]) == 0
    found = read_segmentation(str(tmp_path / "a_seg.seg.nrrd"))
    assert found["voxels"].shape == (3, 3, 3, 3)  # labels, whole tumour, tumour core
    assert len(found["segments"]) == 5


@pytest.mark.real_data
@pytest.mark.parametrize("kind", ["binary", "labelmap"])
def test_a_label_map_goes_onto_a_series_and_comes_back(real_data, tmp_path, put, kind):
    series = real_data / "readers/dicom/torchio_ct_17_slices"
    grid = formats.read(series).grid
    label_map = np.zeros(grid.shape, np.uint8)
    label_map[20:40, 30:50, 4:9], label_map[40:50, 30:50, 9:] = 1, 2
    flipped = grid.affine @ np.array([[0, 0, -1, 87], [0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1]])
    turned = label_map[::-1].transpose(2, 1, 0)  # k, j, reversed i
    path = put(tmp_path / "a_seg.nii.gz", turned, flipped)
    options = ["--to", "dicom-seg", "--reference", str(series), "--dicom-seg", kind]
    assert run(["export", str(path), "--task", "hippocampus", *options]) == 0
    file = pydicom.dcmread(tmp_path / "a_seg.dcm")
    assert file.SegmentationType == kind.upper()
    assert file.ReferencedSeriesSequence[0].SeriesInstanceUID == (
        pydicom.dcmread(series / "IMG0001.dcm").SeriesInstanceUID
    )
    arguments = ["--task", "hippocampus", "--image", str(series), "-o", str(tmp_path)]
    assert run(["import", str(tmp_path / "a_seg.dcm"), *arguments]) == 0
    back = nibabel.load(tmp_path / "torchio_ct_17_slices.nii.gz")
    assert np.array_equal(np.asarray(back.dataobj), label_map)
