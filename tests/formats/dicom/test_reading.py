import shutil
import zipfile

import imagecodecs
import numpy as np
import pydicom
import pytest
from pydicom.encaps import encapsulate
from pydicom.uid import JPEG2000Lossless, JPEGLosslessSV1, JPEGLSLossless, RLELossless

from medseg import formats
from medseg import task as tasks
from medseg.errors import ImageError
from medseg.formats import Choice, dicom
from medseg.inference.scans import find

ANGLE = np.deg2rad(17)
ROW = np.array([np.cos(ANGLE), np.sin(ANGLE), 0])  # as the series of conftest.py are written
COLUMN = np.array([-np.sin(ANGLE), np.cos(ANGLE), 0])
FIRST = np.array([-40.0, 25.0, -300.0])
STEP_MM = np.array([0, 0, 2.5])
STORED = np.random.default_rng(5).integers(0, 2000, (6, 4, 5)).astype(np.uint16)


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


def test_files_that_are_no_slices_are_passed_over(series):
    (series / "notes.txt").write_text("read me")
    (series / "._a.dcm").write_bytes(b"left by macOS")
    (series / "folder").mkdir()
    assert formats.read(series).voxels.shape[3] == 6


def test_a_truncated_slice_is_refused(series):
    content = (series / "b.dcm").read_bytes()
    (series / "b.dcm").write_bytes(content[:-20])
    with pytest.raises(ImageError, match=r"b\.dcm: is damaged"):
        formats.read(series)


def test_a_single_slice_is_refused(tmp_path, write_slice):
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
    arranged = dicom.stack.arranged

    def lose(slices, where):
        (series / "c.dcm").unlink()
        return arranged(slices, where)

    monkeypatch.setattr(dicom.stack, "arranged", lose)
    with pytest.raises(ImageError, match=r"c\.dcm: is damaged: its pixels cannot be read"):
        dicom.read(series)


def test_a_series_in_several_is_chosen(series, write_slice):
    for number in range(3):
        write_slice(series / f"other{number}.dcm", number, series="1.2.4", SeriesDescription="Thin")
    assert formats.read(series, Choice(series="thin")).voxels.shape[3] == 3
    assert formats.read(series, Choice(series="1.2.3")).voxels.shape[3] == 6
    with pytest.raises(ImageError, match="Name one by its description or UID with --series"):
        formats.read(series)


def test_a_zip_file_is_read_like_the_folder_in_it(series, tmp_path):
    expected = formats.read(series)
    with zipfile.ZipFile(tmp_path / "series.zip", "w") as archive:
        for number, path in enumerate(sorted(series.glob("*.dcm"))):
            archive.write(path, f"study/{number % 2}/{path.name}")
    volume = formats.read(tmp_path / "series.zip")
    assert np.array_equal(volume.voxels, expected.voxels)
    assert np.array_equal(volume.affine, expected.affine)


def test_run_length_coded_slices_are_read(series, write_slice):
    for number, path in enumerate(sorted(series.glob("*.dcm"))):  # GDCM reads no tiny ones
        write_slice(
            path, number, pixels=np.arange(number, number + 1024, dtype="u2").reshape(32, 32)
        )
    expected = formats.read(series).voxels
    for path in series.glob("*.dcm"):
        data = pydicom.dcmread(path)
        data.compress(RLELossless, generate_instance_uid=False)
        data.save_as(path)
    assert np.array_equal(formats.read(series).voxels, expected)


@pytest.mark.parametrize(
    ("syntax", "coder", "options"),
    [
        (JPEG2000Lossless, imagecodecs.jpeg2k_encode, {"codecformat": "j2k", "reversible": True}),
        (JPEGLSLossless, imagecodecs.jpegls_encode, {}),
        (JPEGLosslessSV1, imagecodecs.ljpeg_encode, {"bitspersample": 16}),
    ],
)
def test_slices_compressed_without_loss_are_read(series, syntax, coder, options):
    expected = formats.read(series).voxels
    for path in series.glob("*.dcm"):
        data = pydicom.dcmread(path)
        data.PixelData = encapsulate([bytes(coder(data.pixel_array, **options))])
        data.file_meta.TransferSyntaxUID = syntax
        data["PixelData"].is_undefined_length = True
        data.save_as(path)
    assert np.array_equal(formats.read(series).voxels, expected)


def test_a_file_without_an_ending_is_known_by_its_content(series):
    shutil.copy(series / "a.dcm", series / "IM0001")
    with pytest.raises(ImageError, match="is a single DICOM file"):
        formats.read(series / "IM0001")


def test_a_file_without_an_image_is_told_apart(series):
    data = pydicom.dcmread(series / "a.dcm")
    for tag in ("PixelData", "Rows", "Columns"):
        delattr(data, tag)
    data.save_as(series / "plan.dcm")
    with pytest.raises(ImageError, match="is a DICOM file without an image"):
        formats.read(series / "plan.dcm")


def test_a_series_is_found_among_the_folders_of_a_study(tmp_path, write_slice):
    for uid, name, title in (("1.1", "one", "Thin"), ("1.2", "two", "Thick")):
        (tmp_path / name).mkdir()
        for number in range(3):
            path = tmp_path / name / f"{number}.dcm"
            write_slice(path, number, series=uid, SeriesDescription=title)
    task = tasks.read("hippocampus")
    assert [scan.case.name for scan in find([tmp_path], task)] == ["one", "two"]
    assert [scan.case.name for scan in find([tmp_path], task, series="thick")] == ["two"]
    with pytest.raises(ImageError, match="holds no image"):
        find([tmp_path], task, series="sagittal")
    damaged = tmp_path / "one" / "0.dcm"
    damaged.write_bytes(damaged.read_bytes()[:400] + b"\x28\x00\x10\x00")
    assert [scan.case.name for scan in find([tmp_path], task, series="sagittal")] == ["one"]
