"""DICOM series to read, written by pydicom."""

import numpy as np
import pydicom
import pytest
from pydicom.dataset import FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

ANGLE = np.deg2rad(17)
ROW = np.array([np.cos(ANGLE), np.sin(ANGLE), 0])  # the direction in which columns follow
COLUMN = np.array([-np.sin(ANGLE), np.cos(ANGLE), 0])
FIRST = np.array([-40.0, 25.0, -300.0])
STEP_MM = np.array([0, 0, 2.5])
STORED = np.random.default_rng(5).integers(0, 2000, (6, 4, 5)).astype(np.uint16)  # slice, j, i


def _write_slice(
    path, number, *, series="1.2.3", position=None, spacing=(0.5, 0.75), pixels=None, **tags
):
    """Write slice `number`; spacing is between rows, then between columns."""
    pixels = STORED[number] if pixels is None else pixels
    data = pydicom.Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID = CTImageStorage
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID = generate_uid(
        entropy_srcs=[str(path)]
    )
    data.Modality = "CT"
    data.SeriesInstanceUID = series
    data.StudyInstanceUID = "1.2"
    data.PatientName = "Nobody"
    data.InstanceNumber = 99 - number  # in the wrong order, as some scanners have it
    data.ImagePositionPatient = list(FIRST + number * STEP_MM if position is None else position)
    data.ImageOrientationPatient = [*ROW, *COLUMN]
    data.PixelSpacing = list(spacing)
    data.SliceThickness = 9.0  # wrong on purpose: the positions count
    data.Rows, data.Columns = pixels.shape
    data.BitsAllocated, data.BitsStored, data.HighBit = 16, 16, 15
    data.PixelRepresentation, data.SamplesPerPixel = 0, 1
    data.PhotometricInterpretation = "MONOCHROME2"
    data.RescaleSlope, data.RescaleIntercept = 2, -1024
    data.PixelData = pixels.tobytes()
    for name, value in tags.items():
        setattr(data, name, value)
    data.save_as(path, enforce_file_format=True)


@pytest.fixture
def write_slice():
    """Writes slice `number` of a series; any tag can be given by its keyword."""
    return _write_slice


@pytest.fixture
def series(tmp_path):
    """A folder with six slices whose names do not tell their order."""
    for number, name in enumerate("dafbec"):
        _write_slice(tmp_path / f"{name}.dcm", number)
    return tmp_path
