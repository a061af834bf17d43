"""TransUNet's slices in NumPy's archives."""

import numpy as np
import pytest

from medseg import formats
from medseg.errors import ImageError
from medseg.formats import npz


@pytest.fixture
def slices(tmp_path):
    """Eleven slices of 3x4 voxels, each full of its number; and one of another case."""
    for case, count in (("case0005", 11), ("case0006", 1)):
        for number in range(count):
            image, label = np.full((3, 4), number / 10), np.full((3, 4), number)
            np.savez(tmp_path / f"{case}_slice{number:03d}.npz", image=image, label=label)
    return tmp_path


def test_naming_one_slice_reads_all_of_its_case_in_order(slices):
    volume = npz.read(slices / "case0005_slice003.npz")
    assert volume.voxels.shape == (1, 3, 4, 11)
    assert volume.voxels[0, 0, 0] == pytest.approx(np.arange(11) / 10)
    labels = formats.read_label_map(slices / "case0005_slice000.npz")
    assert labels.voxels[0, 1, 1].tolist() == list(range(11))


def test_a_missing_slice_is_named(slices):
    (slices / "case0005_slice004.npz").unlink()
    with pytest.raises(ImageError, match="case0005: lacks the slices 4"):
        npz.read(slices / "case0005_slice000.npz")


def test_slices_of_several_sizes_are_refused(slices):
    np.savez(slices / "case0005_slice004.npz", image=np.zeros((4, 4)))
    with pytest.raises(ImageError, match="slices of several sizes"):
        npz.read(slices / "case0005_slice000.npz")


def test_a_file_that_is_called_otherwise_is_a_volume(tmp_path):
    np.savez(tmp_path / "scan.npz", image=np.zeros((5, 3, 4)))
    assert npz.case_of(tmp_path / "scan.npz") is None
    assert npz.read(tmp_path / "scan.npz").grid.shape == (3, 4, 5)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut off"])
def test_a_damaged_file_is_refused(tmp_path, content):
    (tmp_path / "scan.npz").write_bytes(content)
    with pytest.raises(ImageError, match=r"scan\.npz: cannot be read as an archive of NumPy"):
        npz.read(tmp_path / "scan.npz")


def test_objects_are_never_unpickled(tmp_path):
    np.savez(tmp_path / "scan.npz", image=np.array([{}], dtype=object))
    with pytest.raises(ImageError, match="cannot be read"):
        npz.read(tmp_path / "scan.npz")
