"""A series of DICOM slices in a folder or a zip file, through ITK; segmentations through highdicom.

Slices are sorted by their position in the patient and rescaled to the scanner's units, Hounsfield
units for CT. Nothing is guessed: of several series one must be chosen, and missing slices, slices
at the same place, mixed orientations, uneven distances and a tilted gantry are refused.
"""

import contextlib
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from jaxtyping import Float32

from medseg import formats
from medseg.errors import ImageError
from medseg.formats import ANY, Choice
from medseg.formats.dicom import archive, headers, segments, series, stack
from medseg.formats.dicom.headers import Slice
from medseg.segment_names import Segment
from medseg.volume import Grid, Volume

SUFFIXES: Final = (".dcm", ".zip")


def read(path: Path, choice: Choice = ANY) -> Volume:
    """Read the series of slices in the folder or zip file `path`.

    Raises:
        ImageError: There are no slices, several series of which none was chosen, or a series that
            is no regular stack or damaged; or `path` is a single DICOM file.
    """
    with warnings.catch_warnings():
        # ITK warns while it loads its parts, and where warnings are errors that ends the process
        warnings.simplefilter("ignore", DeprecationWarning)
        if path.is_dir():
            return _read_folder(path, choice)
        if path.suffix.lower() == ".zip":
            with archive.unpacked(path) as folder:
                return _read_folder(folder, choice)
        raise _single_file(path)


def read_label_map(path: Path, *, threshold: float | None = None) -> Volume:
    """Read a DICOM segmentation; see `medseg.formats.dicom.segments`.

    Raises:
        ImageError: It is damaged, or holds fractions and `threshold` is None.
    """
    return segments.read(path, threshold=threshold)


def segments_of(path: Path, layers: int) -> list[Segment]:
    """Return the segments of what `read_label_map` read in `layers` channels."""
    return segments.segments(path, layers)


@dataclass(frozen=True, eq=False)
class Series:
    """The files of a series.

    Attributes:
        paths: One per slice, in the order of the grid's third axis.
        grid: Where the voxels lie: columns, rows, slices.
    """

    paths: tuple[Path, ...]
    grid: Grid


@contextlib.contextmanager
def series_in(path: Path, choice: Choice = ANY) -> Iterator[Series]:
    """Give the files of the series in a folder or zip file, for as long as the block runs.

    Raises:
        ImageError: As `read`.
    """
    if not path.is_dir() and path.suffix.lower() != ".zip":
        raise ImageError(
            "is no DICOM series",
            where=path,
            remedy="Give the folder or zip file with the slices of the series",
        )
    with warnings.catch_warnings(), contextlib.ExitStack() as opened:
        warnings.simplefilter("ignore", DeprecationWarning)  # as in `read`
        folder = path
        if not path.is_dir():
            folder = opened.enter_context(archive.unpacked(path))
        yield _series(folder, choice)


def holds_series(folder: Path, wanted: str) -> bool:
    """Tell whether a series in `folder` is the one that `wanted` names, or one of several.

    Raises:
        ImageError: A file is damaged.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # as in `read`
        return bool(series.fitting(_slices(folder), wanted))


def _read_folder(folder: Path, choice: Choice) -> Volume:
    slices = _chosen(folder, choice)
    voxels = np.stack([_pixels(part) for part in slices], axis=2)[None]
    i, j, k = voxels.shape[1:]
    return Volume(voxels, Grid((i, j, k), formats.as_affine(stack.affine(slices), where=folder)))


def _chosen(folder: Path, choice: Choice) -> list[Slice]:
    chosen = series.choose(_slices(folder), choice.series, where=str(folder))
    return stack.arranged(chosen, folder)


def _series(folder: Path, choice: Choice) -> Series:
    slices = _chosen(folder, choice)
    shape = (*slices[0].shape, len(slices))
    affine = formats.as_affine(stack.affine(slices), where=folder)
    return Series(tuple(part.path for part in slices), Grid(shape, affine))


def _slices(folder: Path) -> list[Slice]:
    paths = [path for path in sorted(folder.iterdir()) if path.is_file() and path.name[0] != "."]
    drawn = {path for path in paths if formats.is_dicom_segmentation(path)}
    read = [headers.read(path) for path in paths if path not in drawn]
    found = [headers.placed_slice(header) for header in read if header.is_placed]
    if found:
        return found
    if drawn:
        raise _no_scan(folder)
    if any(header.shape[2] > 1 for header in read):
        raise _many_frames(folder)
    raise ImageError(
        "holds no DICOM slices with a position in the patient",
        where=folder,
        remedy="Give the folder that holds the slices of one series",
    )


def _single_file(path: Path) -> ImageError:
    """Return the error that says why a single file is not enough."""
    if formats.is_dicom_segmentation(path):
        return _no_scan(path)
    header = headers.read(path)
    if header.shape[2] > 1:
        return _many_frames(path)
    if not any(header.shape):
        return ImageError(
            "is a DICOM file without an image that medseg can read",
            where=path,
            remedy="Give the folder that holds the slices of one series",
        )
    return ImageError(
        "is a single DICOM file",
        where=path,
        remedy="Give the folder that holds all slices of the series",
    )


def _no_scan(where: Path) -> ImageError:
    return ImageError(
        "holds a DICOM segmentation, and no scan",
        where=where,
        remedy="Give the series it was drawn on; 'medseg import' reads the segmentation",
    )


def _many_frames(where: Path) -> ImageError:
    return ImageError(
        "holds a DICOM file with many frames, which medseg does not read",
        where=where,
        remedy="Convert it to NIfTI, for example with dcm2niix",
    )


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
