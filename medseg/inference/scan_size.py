"""How large a scan is, by the headers of its files, before its voxels are read."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from medseg import formats
from medseg.data.cases import Case
from medseg.formats import ANY, Choice, dicom, nifti, simpleitk
from medseg.volume import Grid, Volume

FLOAT: Final = 4
"""Bytes of a real number; others keep the type that their file has."""


@dataclass(frozen=True, eq=False)
class ScanSize:
    """What of a scan decides on memory.

    Attributes:
        grid: Its grid.
        channels: How many it has.
        itemsize: Bytes of a voxel of one channel.
        reading: Bytes that are held while it is read, if these are more than its own.
    """

    grid: Grid
    channels: int
    itemsize: int
    reading: int = 0

    @property
    def bytes(self) -> int:
        """What its voxels take."""
        return math.prod(self.grid.shape) * self.channels * self.itemsize


def of(volume: Volume) -> ScanSize:
    """Return the size of a scan that was read."""
    return ScanSize(volume.grid, len(volume.voxels), volume.voxels.dtype.itemsize)


def of_case(case: Case, choice: Choice = ANY) -> ScanSize | None:
    """Return the size of a case as far as the headers of its files tell it; None if they do not."""
    sizes = [of_file(image, choice) for image in case.images]
    known = [size for size in sizes if size is not None]
    if not known or len(known) < len(sizes):
        return None
    if len(known) == 1:
        return known[0]
    itemsize = max(size.itemsize for size in known)
    whole = replace(known[0], channels=sum(size.channels for size in known), itemsize=itemsize)
    read = sum(size.bytes for size in known)  # before they are put together
    return replace(whole, reading=read + whole.bytes)


def of_file(path: Path, choice: Choice = ANY) -> ScanSize | None:
    """Return the size of the image in a file, or of the DICOM series in a folder.

    None where no header tells it, and where something is wrong, which is told when it is read.

    Args:
        path: File or folder.
        choice: Which image is meant; of several volumes in a file all are held while it is read.
    """
    measure = _measure(path)
    try:
        return None if measure is None else measure(path, choice)
    except Exception:
        return None


def _measure(path: Path) -> Callable[[Path, Choice], ScanSize] | None:
    if path.is_dir():
        return _of_slices
    suffix = formats.suffix_of(path)
    if suffix in nifti.SUFFIXES:
        return _by_nibabel
    return _by_simpleitk if suffix in simpleitk.SUFFIXES else None


def _by_nibabel(path: Path, choice: Choice) -> ScanSize:
    import nibabel

    image = nibabel.load(path)
    i, j, k, *more = image.shape
    stored = image.dataobj
    as_stored = stored.dtype.kind in "iu" and (stored.slope, stored.inter) == (1, 0)
    grid = Grid((i, j, k), formats.as_affine(image.affine, where=path))
    whole = ScanSize(grid, math.prod(more), stored.dtype.itemsize if as_stored else FLOAT)
    is_mapped = as_stored and not path.name.lower().endswith((".gz", ".mgz"))
    held = 2 * whole.bytes if as_stored else whole.bytes  # gzip copies what it unpacks
    if choice.volume is None:
        return whole if is_mapped else replace(whole, reading=held)
    chosen = replace(whole, channels=1)
    return replace(chosen, reading=chosen.bytes + (chosen.bytes if is_mapped else held))


def _by_simpleitk(path: Path, choice: Choice) -> ScanSize:
    import SimpleITK

    reader = SimpleITK.ImageFileReader()
    reader.SetFileName(str(path))
    reader.ReadImageInformation()
    i, j, k, *more = reader.GetSize()
    grid = Grid((i, j, k), formats.as_affine(simpleitk.affine_of(reader), where=path))
    channels = math.prod(more) * reader.GetNumberOfComponents()
    kind = SimpleITK.GetPixelIDValueAsString(reader.GetPixelID())
    bits = int(kind.partition("-bit")[0].split()[-1])
    chosen = 1 if choice.volume is not None else channels
    size = ScanSize(grid, chosen, FLOAT if "float" in kind else bits // 8)
    stored = math.prod(grid.shape) * channels * bits // 8
    return replace(size, reading=2 * stored + size.bytes)  # ITK's image, a copy, a part of that


def _of_slices(path: Path, choice: Choice) -> ScanSize:
    with dicom.series_in(path, choice) as series:
        size = ScanSize(series.grid, 1, FLOAT)
    return replace(size, reading=2 * size.bytes)  # the slices, then all of them together
