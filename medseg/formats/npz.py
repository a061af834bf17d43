"""Slices in NumPy's archives as TransUNet and its successors keep Synapse's for training.

`case0005_slice000.npz` holds two arrays, `image` and `label`, of one slice; the slices of a case
lie beside each other, and naming one of them reads them all. Nothing is said of where the voxels
lie: they get 1 mm. A file that is not called so is a volume of its own, slices first.

Source: https://github.com/Beckschen/TransUNet, `datasets/README.md`
"""

import re
import zipfile
import zlib
from pathlib import Path
from typing import Final

import numpy as np

from medseg import formats
from medseg.errors import ImageError, listed
from medseg.formats import ANY, Choice
from medseg.volume import Volume

SUFFIXES: Final = (".npz",)

_SLICE: Final = re.compile(r"(?P<case>.+)_slice(?P<number>\d+)\.npz", re.IGNORECASE)
_DAMAGED: Final = (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile, zlib.error)


def read(path: Path, choice: Choice = ANY) -> Volume:
    """Read the image of all slices of the case that `path` is a slice of.

    Raises:
        ImageError: A slice is damaged, is missing between others, or has another size.
    """
    volume = _read(path, "image")
    return Volume(formats.chosen_volume(volume.voxels, choice, where=path), volume.grid)


def read_label_map(path: Path) -> Volume:
    """Read the labels of all slices of the case that `path` is a slice of.

    Raises:
        ImageError: A slice is damaged, is missing between others, or has another size.
    """
    return _read(path, "label")


def case_of(path: Path) -> str | None:
    """Return the case that `path` is a slice of; None if it is not called as a slice is."""
    match = _SLICE.fullmatch(path.name)
    return match["case"] if match else None


def slices(path: Path) -> list[Path]:
    """Return all slices of the case that `path` is one of, in order; else `path` alone.

    Raises:
        ImageError: One is missing between the others.
    """
    case = case_of(path)
    if case is None:
        return [path]
    matches = [_SLICE.fullmatch(other.name) for other in path.parent.glob(f"{case}_slice*")]
    numbered = {int(m["number"]): path.with_name(m.string) for m in matches if m}
    missing = sorted(set(range(min(numbered), max(numbered) + 1)) - numbered.keys())
    if missing:
        raise ImageError(
            f"lacks the slices {listed([str(number) for number in missing])}",
            where=path.with_name(case),
            remedy="Copy the missing slices anew",
        )
    return [numbered[number] for number in sorted(numbered)]


def _read(path: Path, name: str) -> Volume:
    arrays = [_array(each, name) for each in slices(path)]
    if case_of(path) is None:
        return formats.without_geometry(arrays[0], where=path)
    if len({array.shape for array in arrays}) > 1:
        raise ImageError(
            "has slices of several sizes", where=path, remedy="Copy the slices of the case anew"
        )
    return formats.without_geometry(np.stack(arrays), where=path)


def _array(path: Path, name: str) -> np.ndarray:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            return np.asarray(archive[name])
    except _DAMAGED as error:
        raise ImageError(
            f"cannot be read as an archive of NumPy with an array {name!r}",
            where=path,
            remedy="Copy it anew, or give a file as TransUNet's preparation writes them",
        ) from error
