"""TransUNet's volumes in HDF5."""

import h5py
import numpy as np
import pytest

from medseg import formats
from medseg.errors import ImageError
from medseg.formats import hdf5


@pytest.fixture
def path(tmp_path):
    """Two slices of 3x4 voxels; each voxel's value tells its place."""
    path = tmp_path / "case0001.npy.h5"
    with h5py.File(path, "w") as file:
        file["image"] = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
        file["label"] = np.full((2, 3, 4), 5.0)
    return path


def test_slices_come_last_and_voxels_have_one_millimetre(path):
    volume = hdf5.read(path)
    assert volume.voxels.shape == (1, 3, 4, 2)
    assert volume.voxels[0, 2, 1, 1] == 1 * 12 + 2 * 4 + 1  # slice 1, row 2, column 1
    assert volume.spacing_mm == (1.0, 1.0, 1.0)


def test_the_label_map_lies_in_the_same_file(path):
    assert (formats.read_label_map(path).voxels == 5).all()
    assert (formats.read(path).voxels != 5).any()
    assert formats.stem(path) == "case0001"


def test_what_is_no_such_file_is_refused(tmp_path):
    damaged = tmp_path / "a.h5"
    damaged.write_bytes(b"no HDF5")
    with pytest.raises(ImageError, match="cannot be read as HDF5 with an array 'image'"):
        hdf5.read(damaged)
    for arrays in ({}, {"image": np.zeros((2, 2))}):
        with h5py.File(tmp_path / "b.h5", "w") as file:
            file.update(arrays)
        with pytest.raises(ImageError, match=r"'image'|has the shape"):
            hdf5.read(tmp_path / "b.h5")
