"""How a format is chosen, and what all share."""

from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK

from medseg import formats
from medseg.errors import DataError, ImageError
from medseg.formats import Choice


@pytest.mark.parametrize(
    ("name", "suffix", "stem"),
    [
        ("case.nii.gz", ".nii.gz", "case"),
        ("case.NII.GZ", ".nii.gz", "case"),
        ("a.b.nii", ".nii", "a.b"),
        ("case.seg.nrrd", ".seg.nrrd", "case"),
        ("case.nrrd", ".nrrd", "case"),
        ("case.mha", ".mha", "case"),
        ("case.txt", None, "case.txt"),
        ("._case.nii.gz", None, "._case.nii.gz"),
    ],
)
def test_the_longest_known_ending_counts(name, suffix, stem, tmp_path):
    assert formats.suffix_of(tmp_path / name) == suffix
    assert formats.stem(tmp_path / name) == stem


def test_no_two_formats_claim_one_ending():
    claimed = [
        suffix
        for name in formats.registry.names(formats)
        for suffix in formats.registry.load(formats, name).SUFFIXES
    ]
    assert sorted(claimed) == sorted(formats.suffixes())
    assert all(suffix == suffix.lower() for suffix in claimed)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(ImageError, match="there is no such file"):
        formats.read(tmp_path / "absent.nii.gz")


def test_an_unknown_ending_is_refused_with_those_there_are(tmp_path):
    (tmp_path / "scan.jpg").write_bytes(b"")
    with pytest.raises(ImageError, match=r"Convert it to one of .*\.nii\.gz, .*\.nrrd"):
        formats.read(tmp_path / "scan.jpg")


def test_numbers_take_the_machine_s_byte_order():
    swapped = np.array([1, 2, 300], dtype=np.dtype(np.int16).newbyteorder())
    numbers = formats.as_numbers(swapped, where=Path("scan"))
    assert numbers.dtype == np.int16
    assert numbers.tolist() == [1, 2, 300]


def test_a_label_map_has_one_channel_and_known_values(tmp_path, hippocampus_task):
    path = tmp_path / "labels.nii.gz"
    nibabel.Nifti1Image(np.full((3, 3, 3), 2, dtype=np.int32), np.eye(4)).to_filename(path)
    found = formats.read_segmentation(path, hippocampus_task)
    assert found.label_map.dtype == np.uint8
    assert (found.label_map == 2).all()
    nibabel.Nifti1Image(np.full((3, 3, 3), -1, dtype=np.int32), np.eye(4)).to_filename(path)
    with pytest.raises(DataError, match="value -1, which is no label of task hippocampus"):
        formats.read_segmentation(path, hippocampus_task)


@pytest.mark.parametrize("suffix", [".nii.gz", ".mha", ".mgz"])
def test_a_volume_of_several_is_chosen_by_its_number(tmp_path, suffix):
    voxels = np.random.default_rng(1).integers(0, 99, (5, 6, 7, 3)).astype(np.int16)
    path = tmp_path / f"scan{suffix}"
    if suffix == ".mha":
        image = SimpleITK.GetImageFromArray(voxels.transpose(3, 2, 1, 0), isVector=False)
        SimpleITK.WriteImage(image, str(path))
    else:
        kind = nibabel.MGHImage if suffix == ".mgz" else nibabel.Nifti1Image
        kind(voxels, np.eye(4)).to_filename(path)
    found = formats.read(path, Choice(volume=(2,)))
    assert np.array_equal(found.voxels, voxels[None, ..., 1])
    for absent in ((0,), (4,), (1, 1)):
        with pytest.raises(ImageError, match=r"has no volume .*; there are 1 to 3"):
            formats.read(path, Choice(volume=absent))


def test_a_volume_of_five_axes_is_chosen_by_two_numbers(tmp_path):
    voxels = np.random.default_rng(1).integers(0, 99, (5, 6, 7, 2, 3)).astype(np.int16)
    path = tmp_path / "scan.nii.gz"
    nibabel.Nifti1Image(voxels, np.eye(4)).to_filename(path)
    found = formats.read(path, Choice(volume=(2, 3)))
    assert np.array_equal(found.voxels, voxels[None, ..., 1, 2])
    for absent in ((3,), (3, 1), (1, 0), (1, 1, 1)):
        with pytest.raises(ImageError, match="there are 1 to 2 and 1 to 3"):
            formats.read(path, Choice(volume=absent))
