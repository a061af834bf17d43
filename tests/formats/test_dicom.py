import shutil

import numpy as np
import pydicom
import pytest
from pydicom.dataset import FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from medseg import formats
from medseg.errors import ImageError
from medseg.formats import dicom

ANGLE = np.deg2rad(17)
ROW = np.array([np.cos(ANGLE), np.sin(ANGLE), 0])  # the direction in which columns follow
COLUMN = np.array([-np.sin(ANGLE), np.cos(ANGLE), 0])
FIRST = np.array([-40.0, 25.0, -300.0])
STEP_MM = np.array([0, 0, 2.5])
STORED = np.random.default_rng(5).integers(0, 2000, (6, 4, 5)).astype(np.uint16)  # slice, j, i


def write_slice(path, number, *, series="1.2.3", position=None, spacing=(0.5, 0.75), pixels=None):
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
    data.save_as(path, enforce_file_format=True)


@pytest.fixture
def series(tmp_path):
    """A folder with six slices whose names do not tell their order."""
    for number, name in enumerate("dafbec"):
        write_slice(tmp_path / f"{name}.dcm", number)
    return tmp_path


def test_slices_are_sorted_by_position_and_rescaled(series):
    volume = formats.read(series)
    assert volume.voxels.shape == (1, 5, 4, 6)
    assert np.array_equal(volume.voxels[0], STORED.transpose(2, 1, 0) * 2.0 - 1024.0)


def test_the_affine_is_that_of_the_standard(series):
    # DICOM PS3.3 C.7.6.2.1.1: the step from column to column is the first direction times the
    # distance between columns. Then from left-posterior to right-anterior.
    lps = np.eye(4)
    lps[:3, 0], lps[:3, 1], lps[:3, 2], lps[:3, 3] = ROW * 0.75, COLUMN * 0.5, STEP_MM, FIRST
    expected = np.diag([-1.0, -1.0, 1.0, 1.0]) @ lps
    assert formats.read(series).affine == pytest.approx(expected, abs=1e-6)


def test_a_tilted_gantry_gives_a_sheared_grid(tmp_path):
    for number in range(4):
        write_slice(
            tmp_path / f"{number}.dcm", number, position=FIRST + number * np.array([0, 0.5, 2])
        )
    volume = formats.read(tmp_path)
    assert volume.affine[:3, 2] == pytest.approx([0, -0.5, 2.0])
    assert not volume.grid.is_orthonormal


def test_files_that_are_no_slices_are_passed_over(series):
    (series / "notes.txt").write_text("read me")
    (series / "._a.dcm").write_bytes(b"left by macOS")
    (series / "folder").mkdir()
    assert formats.read(series).voxels.shape[3] == 6


def test_a_missing_slice_is_refused_and_the_gap_named(series):
    (series / "f.dcm").unlink()
    with pytest.raises(ImageError, match=r"lacks slices: a\.dcm and b\.dcm are 5\.00 mm apart"):
        formats.read(series)


def test_two_series_are_refused(series):
    write_slice(series / "other.dcm", 0, series="1.2.4")
    with pytest.raises(ImageError, match="holds 2 DICOM series"):
        formats.read(series)


def test_two_slices_at_one_place_are_refused(series):
    shutil.copy(series / "b.dcm", series / "copy.dcm")
    with pytest.raises(ImageError, match=r"several slices at one place, such as b\.dcm and copy"):
        formats.read(series)


def test_uneven_steps_are_refused(tmp_path):
    for number, z in enumerate((0.0, 1.0, 2.0, 3.4, 4.8, 6.2)):
        write_slice(tmp_path / f"{number}.dcm", number, position=(0, 0, z))
    with pytest.raises(ImageError, match=r"unevenly spaced slices, 1\.00 to 1\.40 mm apart"):
        formats.read(tmp_path)


def test_positions_rounded_by_the_scanner_are_accepted(tmp_path):
    for number in range(6):
        write_slice(tmp_path / f"{number}.dcm", number, position=(0, 0, round(0.625 * number, 1)))
    assert formats.read(tmp_path).spacing_mm[2] == pytest.approx(0.62)


@pytest.mark.parametrize("change", [{"spacing": (0.5, 0.5)}, {"pixels": STORED[0][:3]}])
def test_a_slice_unlike_the_others_is_refused(series, change):
    write_slice(series / "z.dcm", 5, position=FIRST + 6 * STEP_MM, **change)
    with pytest.raises(ImageError, match=r"z\.dcm: differs from a\.dcm"):
        formats.read(series)


def test_a_truncated_slice_is_refused(series):
    content = (series / "b.dcm").read_bytes()
    (series / "b.dcm").write_bytes(content[:-20])
    with pytest.raises(ImageError, match=r"b\.dcm: is damaged"):
        formats.read(series)


def test_a_single_slice_is_refused(tmp_path):
    write_slice(tmp_path / "a.dcm", 0)
    with pytest.raises(ImageError, match="holds a single DICOM slice"):
        dicom.read(tmp_path)
    with pytest.raises(ImageError, match="Give the folder that holds all slices"):
        formats.read(tmp_path / "a.dcm")


def test_a_folder_without_slices_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("read me")
    with pytest.raises(ImageError, match="holds no DICOM slices"):
        dicom.read(tmp_path)


def test_a_folder_tells_whether_it_holds_dicom(series, tmp_path):
    assert formats.holds_dicom(series)
    (tmp_path / "empty").mkdir()
    assert not formats.holds_dicom(tmp_path / "empty")


def test_a_slice_that_is_lost_while_reading_is_named(series, monkeypatch):
    def lose(slices, _folder):
        (series / "c.dcm").unlink()
        return slices

    monkeypatch.setattr(dicom, "_one_series", lose)
    with pytest.raises(ImageError, match=r"c\.dcm: is damaged: its pixels cannot be read"):
        dicom.read(series)
