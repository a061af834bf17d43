import nibabel
import numpy as np
import pydicom
import pytest
import SimpleITK
from pydicom.dataset import FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from medseg import formats
from medseg.data.cases import Case
from medseg.formats import Choice
from medseg.inference import scan_size
from medseg.volume import Grid, Volume

SHAPE = (5, 6, 7)
VOXELS = 5 * 6 * 7
SECOND = Choice(volume=(2,))


def nifti(path, stored, count=1):
    shape = (*SHAPE, count) if count > 1 else SHAPE
    values = np.arange(np.prod(shape)).reshape(shape).astype(stored)
    nibabel.Nifti1Image(values, np.diag([2.0, 3, 4, 1])).to_filename(path)
    return path


def _write_slice(path, k):
    data = pydicom.Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID = CTImageStorage
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID = f"1.2.3.{k + 1}"
    data.SeriesInstanceUID, data.Modality = "1.2.3", "CT"
    data.ImagePositionPatient, data.ImageOrientationPatient = [0, 0, 4 * k], [1, 0, 0, 0, 1, 0]
    data.PixelSpacing, data.Rows, data.Columns = [3, 2], 6, 5
    data.BitsAllocated, data.BitsStored, data.HighBit = 16, 16, 15
    data.PixelRepresentation, data.SamplesPerPixel = 0, 1
    data.PhotometricInterpretation = "MONOCHROME2"
    data.PixelData = np.full((6, 5), k, np.uint16).tobytes()
    data.save_as(path, enforce_file_format=True)


@pytest.mark.parametrize("name", ["scan.nii", "scan.nii.gz"])
@pytest.mark.parametrize(("stored", "itemsize"), [(np.int16, 2), (np.float64, 4)])
def test_the_header_tells_the_size_without_the_voxels(name, stored, itemsize, tmp_path):
    path = nifti(tmp_path / name, stored, count=2)
    size = scan_size.of_file(path)
    assert size.grid.shape == SHAPE
    assert size.grid.spacing_mm == (2, 3, 4)
    assert size.bytes == VOXELS * 2 * itemsize
    read = scan_size.of(formats.read(path))
    assert (read.channels, read.itemsize) == (size.channels, size.itemsize)


def test_of_a_film_one_volume_is_kept_but_all_are_read(tmp_path):
    packed = nifti(tmp_path / "film.nii.gz", np.int16, count=3)
    size = scan_size.of_file(packed, SECOND)
    assert (size.channels, size.bytes) == (1, VOXELS * 2)
    assert size.reading == VOXELS * 2 * (2 * 3 + 1)  # unpacked, copied, and the one
    plain = scan_size.of_file(nifti(tmp_path / "film.nii", np.int16, count=3), SECOND)
    assert plain.reading == VOXELS * 2 * 2  # the others stay on the disk
    volume = formats.read(packed, SECOND)
    assert scan_size.of(volume).bytes == size.bytes
    assert volume.voxels.base is None or volume.voxels.base.size == VOXELS


@pytest.mark.parametrize(("name", "itemsize"), [("uint8", 1), ("int16", 2), ("float64", 4)])
@pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
def test_nrrd_and_metaimage_are_measured_by_their_headers(name, itemsize, suffix, tmp_path):
    path = tmp_path / f"scan{suffix}"
    image = SimpleITK.GetImageFromArray(np.ones((7, 6, 5), name))
    image.SetSpacing((2, 3, 4))
    SimpleITK.WriteImage(image, str(path))
    size, read = scan_size.of_file(path), formats.read(path)
    assert size.grid.matches(read.grid)
    assert size.bytes == VOXELS * itemsize == read.voxels.nbytes
    assert size.reading == VOXELS * (2 * np.dtype(name).itemsize + itemsize)


def test_a_series_of_slices_is_measured_by_its_headers(tmp_path):
    for k in range(7):
        _write_slice(tmp_path / f"{k}.dcm", k)
    size, read = scan_size.of_file(tmp_path), formats.read(tmp_path)
    assert size.grid.shape == SHAPE
    assert size.grid.matches(read.grid)
    assert size.bytes == read.voxels.nbytes
    assert size.reading == 2 * size.bytes


def test_channels_side_by_side_are_read_before_they_are_put_together(tmp_path):
    paths = [nifti(tmp_path / f"{n}.nii.gz", np.int16) for n in range(4)]
    size = scan_size.of_case(Case("a", tuple(paths)))
    assert (size.channels, size.bytes) == (4, VOXELS * 4 * 2)
    assert size.reading == 2 * size.bytes


def test_what_no_header_tells_is_not_known(tmp_path):
    damaged = tmp_path / "scan.nii.gz"
    damaged.write_bytes(b"no image")
    whole = nifti(tmp_path / "whole.nii.gz", np.int16)
    for path in (damaged, tmp_path / "gone.mha", tmp_path / "packed.zip", tmp_path):
        assert scan_size.of_file(path) is None
        assert scan_size.of_case(Case("a", (whole, path))) is None


def test_a_scan_that_was_read_has_the_size_of_its_voxels():
    voxels = np.zeros((2, *SHAPE), np.int16)
    assert scan_size.of(Volume(voxels, Grid(SHAPE, np.eye(4)))).bytes == voxels.nbytes
