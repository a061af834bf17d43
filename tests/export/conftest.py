"""DICOM series to refer to, written by pydicom."""

from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid
from pydicom.valuerep import format_number_as_ds

PATIENT = "Doe^Jane"


def _ds(values):
    return [format_number_as_ds(float(value)) for value in values]


def _write_series(folder: Path, affine: np.ndarray, shape: tuple[int, int, int], **tags):
    """Write a CT series whose columns, rows and slices are i, j and k of a RAS affine."""
    lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    folder.mkdir(parents=True, exist_ok=True)
    for k in np.random.default_rng(1).permutation(shape[2]):
        data = pydicom.Dataset()
        data.file_meta = FileMetaDataset()
        data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID = CTImageStorage
        instance = generate_uid(entropy_srcs=[str(folder), str(k)])
        data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID = instance
        data.Modality, data.PatientName, data.PatientID = "CT", PATIENT, "4711"
        data.PatientBirthDate, data.PatientSex = "19500101", "F"
        data.StudyInstanceUID, data.SeriesInstanceUID = "1.2.3", "1.2.3.4"
        data.FrameOfReferenceUID = "1.2.3.5"
        data.InstanceNumber = 1 + int(k)
        data.ImagePositionPatient = _ds(lps[:3, 2] * k + lps[:3, 3])
        columns, rows = lps[:3, 0] / spacing[0], lps[:3, 1] / spacing[1]
        data.ImageOrientationPatient = _ds([*columns, *rows])
        data.PixelSpacing = _ds([spacing[1], spacing[0]])
        data.SliceThickness = _ds([spacing[2]])[0]
        data.Columns, data.Rows = shape[:2]
        data.BitsAllocated, data.BitsStored, data.HighBit = 16, 16, 15
        data.PixelRepresentation, data.SamplesPerPixel = 1, 1
        data.PhotometricInterpretation = "MONOCHROME2"
        data.PixelData = np.full(shape[1::-1], k, dtype=np.int16).tobytes()
        for name, value in tags.items():
            setattr(data, name, value)
        data.save_as(folder / f"{instance}.dcm", enforce_file_format=True)
    return folder


@pytest.fixture(scope="session")
def write_series():
    """Writes a CT series on a grid; any tag can be given by its keyword."""
    return _write_series


@pytest.fixture(scope="session")
def read_dicom_seg():
    """Reads a DICOM segmentation with pydicom alone; see below."""
    return _read_dicom_seg


def _read_dicom_seg(path):
    """Return for each segment's label the RAS places of its voxels, sorted."""
    file = pydicom.dcmread(path)
    frames = file.pixel_array.reshape(-1, file.Rows, file.Columns)
    shared = file.SharedFunctionalGroupsSequence[0]
    directions = np.array(shared.PlaneOrientationSequence[0].ImageOrientationPatient, float)
    between_rows, between_columns = map(float, shared.PixelMeasuresSequence[0].PixelSpacing)
    along = np.stack([directions[3:] * between_rows, directions[:3] * between_columns])
    titles = {int(part.SegmentNumber): part.SegmentLabel for part in file.SegmentSequence}
    found = {title: [np.empty((0, 3))] for number, title in titles.items() if number}
    for frame, group in zip(frames, file.PerFrameFunctionalGroupsSequence, strict=True):
        first = np.array(group.PlanePositionSequence[0].ImagePositionPatient, float)
        for number in set(np.unique(frame).tolist()) - {0}:
            if file.SegmentationType == "BINARY":
                number = int(group.SegmentIdentificationSequence[0].ReferencedSegmentNumber)
            places = (
                np.argwhere(frame)
                if file.SegmentationType == "BINARY"
                else np.argwhere(frame == number)
            )
            found[titles[number]].append((first + places @ along) * (-1, -1, 1))
    return {title: ordered(np.concatenate(parts)) for title, parts in found.items()}


def ordered(places):
    """Return points in an order that does not depend on how they were found."""
    return places[np.lexsort(np.round(places, 3).T)]
