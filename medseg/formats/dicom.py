"""A folder with one series of DICOM slices, through ITK.

Slices are sorted by their position in the patient and rescaled to the scanner's units, Hounsfield
units for CT. Nothing is guessed: several series, missing slices, slices at the same place and
uneven distances are refused. The slice axis runs from the first slice's position to the last's,
so that a tilted gantry gives the sheared grid it really has.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from jaxtyping import Float32, Float64

from medseg import formats
from medseg.errors import ImageError
from medseg.shapes import Affine
from medseg.volume import Grid, Volume

SUFFIXES: Final = (".dcm",)

_RAS_FROM_LPS: Final = np.diag([-1.0, -1.0, 1.0, 1.0])
_ROWS_TAG: Final = b"\x28\x00\x10\x00"
_SERIES, _POSITION, _DIRECTIONS, _SPACING = "0020|000e", "0020|0032", "0020|0037", "0028|0030"
_GAP: Final = 1.5
"""A step this many times the usual one means a missing slice."""
_UNEVEN: Final = 0.25
"""How far a slice may lie from where even steps put it, in steps."""
_SAME: Final = 1e-3
"""Largest difference between directions or pixel sizes that count as equal."""


@dataclass(frozen=True, eq=False)
class Slice:
    """What a slice's header says of its place.

    Attributes:
        path: Its file.
        series: The series it belongs to.
        position: Centre of its first voxel, in LPS millimetres.
        in_plane: The steps from column to column and from row to row, in LPS millimetres.
        shape: Number of columns and rows.
    """

    path: Path
    series: str
    position: Float64[np.ndarray, "3"]
    in_plane: Float64[np.ndarray, "2 3"]
    shape: tuple[int, int]


def read(path: Path) -> Volume:
    """Read the series of slices in the folder `path`.

    Raises:
        ImageError: The folder holds no slices, several series, or a series that is incomplete
            or damaged; or `path` is a single file.
    """
    if not path.is_dir():
        raise ImageError(
            "is a single DICOM file",
            where=path,
            remedy="Give the folder that holds all slices of the series",
        )
    with warnings.catch_warnings():
        # ITK warns while it loads its parts, and where warnings are errors that ends the process
        warnings.simplefilter("ignore", DeprecationWarning)
        slices = _sorted(_one_series(_slices(path), path))
        _require_even_steps(slices, path)
        voxels = np.stack([_pixels(part) for part in slices], axis=2)[None]
    i, j, k = voxels.shape[1:]
    return Volume(voxels, Grid((i, j, k), formats.as_affine(_affine(slices), where=path)))


def _slices(folder: Path) -> list[Slice]:
    paths = [path for path in sorted(folder.iterdir()) if path.is_file() and path.name[0] != "."]
    headers = {path: _header(path) for path in paths}
    found = [
        _slice(path, header, shape)
        for path, (header, shape) in headers.items()
        if _POSITION in header and _DIRECTIONS in header and _SPACING in header
    ]
    if found:
        return found
    if any(shape[2] > 1 for _, shape in headers.values()):
        raise ImageError(
            "holds a DICOM file with many frames, which medseg does not read",
            where=folder,
            remedy="Convert it to NIfTI, for example with dcm2niix",
        )
    raise ImageError(
        "holds no DICOM slices with a position in the patient",
        where=folder,
        remedy="Give the folder that holds the slices of one series",
    )


def _header(path: Path) -> tuple[dict[str, str], tuple[int, int, int]]:
    """Read the tags and the shape of an image; empty if `path` is something else."""
    import itk

    itk.ProcessObject.GlobalWarningDisplayOff()
    reader = itk.GDCMImageIO.New()
    try:
        readable = reader.CanReadFile(str(path))
        reader.SetFileName(str(path))
        if readable:
            reader.ReadImageInformation()
    except RuntimeError:
        readable = False
    if readable:
        tags = _tags(reader.GetMetaDataDictionary())
        return tags, tuple(reader.GetDimensions(axis) for axis in range(3))
    if _is_image(path):
        raise ImageError(
            "is damaged, or a kind of DICOM file that medseg does not read",
            where=path,
            remedy="Copy it anew, or move it away if it is not a slice of the series",
        )
    return {}, (0, 0, 0)


def _tags(dictionary: Any) -> dict[str, str]:
    present = set(dictionary.GetKeys())
    wanted = (_SERIES, _POSITION, _DIRECTIONS, _SPACING)
    return {tag: dictionary[tag].strip() for tag in wanted if tag in present}


def _is_image(path: Path) -> bool:
    return formats.starts_as_dicom(path) and _ROWS_TAG in path.read_bytes()


def _slice(path: Path, header: dict[str, str], shape: tuple[int, int, int]) -> Slice:
    between_rows, between_columns = _floats(header[_SPACING])
    directions = _floats(header[_DIRECTIONS]).reshape(2, 3)
    return Slice(
        path=path,
        series=header.get(_SERIES, ""),
        position=_floats(header[_POSITION]),
        in_plane=directions * np.array([[between_columns], [between_rows]]),
        shape=shape[:2],
    )


def _floats(text: str) -> Float64[np.ndarray, " values"]:
    return np.array([float(part) for part in text.split("\\")])


def _one_series(slices: list[Slice], folder: Path) -> list[Slice]:
    series = {part.series for part in slices}
    if len(series) > 1:
        raise ImageError(
            f"holds {len(series)} DICOM series",
            where=folder,
            remedy="Give a folder that holds one, such as the series with the thin slices",
        )
    first = slices[0]
    for part in slices:
        if part.shape != first.shape or not np.allclose(part.in_plane, first.in_plane, atol=_SAME):
            raise ImageError(
                f"differs from {first.path.name} in direction, pixel size or number of pixels",
                where=part.path,
                remedy="Keep the slices of one stack in the folder, without overview images",
            )
    return slices


def _sorted(slices: Sequence[Slice]) -> list[Slice]:
    normal = np.cross(*slices[0].in_plane)
    return sorted(slices, key=lambda part: float(part.position @ normal))


def _require_even_steps(slices: list[Slice], folder: Path) -> None:
    if len(slices) < 2:
        raise ImageError(
            "holds a single DICOM slice",
            where=folder,
            remedy="Give the folder that holds all slices of the series",
        )
    positions = np.stack([part.position for part in slices])
    normal = np.cross(*slices[0].in_plane)
    steps_mm = np.diff(positions @ (normal / np.linalg.norm(normal)))
    usual_mm = float(np.median(steps_mm))
    if steps_mm.min() < _SAME:
        raise ImageError(
            f"holds several slices at one place, such as {_both_sides(slices, steps_mm.argmin())}",
            where=folder,
            remedy="Keep one time point, echo or direction in the folder",
        )
    if steps_mm.max() > _GAP * usual_mm:
        raise ImageError(
            f"lacks slices: {_both_sides(slices, steps_mm.argmax())} are"
            f" {steps_mm.max():.2f} mm apart, the others {usual_mm:.2f} mm",
            where=folder,
            remedy="Copy the series anew and whole",
        )
    even = np.linspace(positions[0], positions[-1], len(slices))
    if np.linalg.norm(positions - even, axis=1).max() > _UNEVEN * usual_mm:
        raise ImageError(
            f"holds unevenly spaced slices, {steps_mm.min():.2f} to {steps_mm.max():.2f} mm apart",
            where=folder,
            remedy="Give a series with even steps, or resample it to such",
        )


def _both_sides(slices: list[Slice], step: np.intp) -> str:
    return f"{slices[step].path.name} and {slices[step + 1].path.name}"


def _affine(slices: list[Slice]) -> Affine:
    first, last = slices[0], slices[-1]
    lps = np.eye(4)
    lps[:3, :2] = first.in_plane.T
    lps[:3, 2] = (last.position - first.position) / (len(slices) - 1)
    lps[:3, 3] = first.position
    return _RAS_FROM_LPS @ lps


def _pixels(part: Slice) -> Float32[np.ndarray, "columns rows"]:
    import itk

    try:
        image = itk.imread(str(part.path), itk.F, imageio=itk.GDCMImageIO.New())
    except (RuntimeError, OSError) as error:
        raise ImageError(
            "is damaged: its pixels cannot be read",
            where=part.path,
            remedy="Copy the series anew",
        ) from error
    return itk.array_from_image(image)[0].T
