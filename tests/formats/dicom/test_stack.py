import shutil

import numpy as np
import pytest

from medseg import formats
from medseg.errors import ImageError

FIRST = np.array([-40.0, 25.0, -300.0])  # as the series of conftest.py are written
STEP_MM = np.array([0, 0, 2.5])


def test_a_missing_slice_is_refused_and_the_gap_named(series):
    (series / "f.dcm").unlink()
    with pytest.raises(ImageError, match=r"lacks slices: a\.dcm and b\.dcm are 5\.00 mm apart"):
        formats.read(series)


def test_a_copy_of_a_slice_is_refused_as_such(series):
    shutil.copy(series / "b.dcm", series / "copy.dcm")
    with pytest.raises(ImageError, match=r"such as b\.dcm and copy\.dcm: one is a copy"):
        formats.read(series)


@pytest.mark.parametrize(
    ("tags", "reason"),
    [
        ({"EchoNumbers": 2}, "they differ in echo. Keep the slices of one echo"),
        (
            {"AcquisitionNumber": 2, "TemporalPositionIdentifier": 3},
            "they differ in acquisition and time point",
        ),
        ({}, "their headers do not say why"),
    ],
)
def test_slices_at_one_place_are_refused_with_the_reason(series, write_slice, tags, reason):
    write_slice(series / "g.dcm", 3, **tags)
    with pytest.raises(ImageError, match=reason):
        formats.read(series)


def test_uneven_steps_are_refused(tmp_path, write_slice):
    for number, z in enumerate((0.0, 1.0, 2.0, 3.4, 4.8, 6.2)):
        write_slice(tmp_path / f"{number}.dcm", number, position=(0, 0, z))
    with pytest.raises(ImageError, match=r"unevenly spaced slices, 1\.00 to 1\.40 mm apart"):
        formats.read(tmp_path)


def test_positions_rounded_by_the_scanner_are_accepted(tmp_path, write_slice):
    for number in range(6):
        write_slice(tmp_path / f"{number}.dcm", number, position=(0, 0, round(0.625 * number, 1)))
    assert formats.read(tmp_path).spacing_mm[2] == pytest.approx(0.62)


def test_a_tilted_gantry_is_refused_with_its_angle(tmp_path, write_slice):
    for number in range(4):  # 0.5 mm sideways for 2 mm along: atan(1 / 4) = 14.04 degrees
        position = FIRST + number * np.array([0, 0.5, 2])
        write_slice(tmp_path / f"{number}.dcm", number, position=position)
    with pytest.raises(ImageError, match=r"tilted gantry: .* by 14\.0 degrees"):
        formats.read(tmp_path)


def test_a_tilt_below_what_scanners_round_is_kept_in_the_affine(tmp_path, write_slice):
    for number in range(4):
        position = FIRST + number * np.array([0, 0.01, 2])
        write_slice(tmp_path / f"{number}.dcm", number, position=position)
    assert formats.read(tmp_path).affine[:3, 2] == pytest.approx([0, -0.01, 2.0])


@pytest.mark.parametrize("change", [{"spacing": (0.5, 0.5)}, {"pixels": np.ones((3, 5), "u2")}])
def test_a_slice_of_another_size_is_refused(series, write_slice, change):
    write_slice(series / "z.dcm", 5, position=FIRST + 6 * STEP_MM, **change)
    with pytest.raises(ImageError, match=r"z\.dcm: differs from a\.dcm in pixel size"):
        formats.read(series)


def test_mixed_orientations_are_refused_and_counted(series, write_slice):
    write_slice(series / "z.dcm", 5, ImageOrientationPatient=[0, 1, 0, 0, 0, -1])
    with pytest.raises(
        ImageError, match=r"several orientations \(6 axial, 1 sagittal\), such as a"
    ):
        formats.read(series)
