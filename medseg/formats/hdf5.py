"""Volumes in HDF5 as TransUNet and its successors keep Synapse's: `case0001.npy.h5`.

A file holds two arrays, `image` and `label`, slices first, and says nothing of where the voxels
lie. They are brought into the order i, j, k and get voxels of 1 mm: distances are then in voxels.

Source: https://github.com/Beckschen/TransUNet, `datasets/README.md`
"""

from pathlib import Path
from typing import Final

import numpy as np

from medseg import formats
from medseg.errors import ImageError
from medseg.formats import ANY, Choice
from medseg.volume import Volume

SUFFIXES: Final = (".h5", ".npy.h5", ".hdf5")


def read(path: Path, choice: Choice = ANY) -> Volume:
    """Read the array `image`.

    Raises:
        ImageError: The file is damaged, holds no such array, or no volume that `choice` names.
    """
    volume = _read(path, "image")
    return Volume(formats.chosen_volume(volume.voxels, choice, where=path), volume.grid)


def read_label_map(path: Path) -> Volume:
    """Read the array `label`.

    Raises:
        ImageError: The file is damaged, or holds no such array.
    """
    return _read(path, "label")


def _read(path: Path, name: str) -> Volume:
    import h5py

    try:
        with h5py.File(path) as file:
            array = np.asarray(file[name])
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise ImageError(
            f"cannot be read as HDF5 with an array {name!r}",
            where=path,
            remedy="Copy it anew, or give a file as TransUNet's preparation writes them",
        ) from error
    return formats.without_geometry(array, where=path)
