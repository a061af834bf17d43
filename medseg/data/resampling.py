"""Trilinear resampling between grids that cover the same box, one slab at a time.

Sample positions are voxel centres: output voxel `n` of an axis lies at input coordinate
`(n + 1/2) * input / output - 1/2`, as in `medseg.volume.resampled_grid`. Outside the outermost
centres the outermost value holds.
"""

from collections.abc import Iterator
from typing import Final

import numpy as np
import torch
from jaxtyping import Float32
from torch.nn import functional

from medseg.shapes import Shape

SLAB_ROWS: Final = 16

Array = Float32[np.ndarray, "channels i j k"]
Resampled = Float32[np.ndarray, "channels a b c"]


def resample(voxels: Array, shape: Shape) -> Resampled:
    """Resample every channel to `shape`."""
    if voxels.shape[1:] == shape:
        return voxels
    return np.concatenate(list(slabs(voxels, shape)), axis=1)


def slabs(voxels: Array, shape: Shape, *, rows: int = SLAB_ROWS) -> Iterator[Resampled]:
    """Yield the result of `resample` in pieces of `rows` planes along i.

    Only one piece is held at a time, which keeps the export of many classes within memory.
    """
    source = torch.from_numpy(np.require(voxels, requirements=("C", "W")))
    length = source.shape[1]
    centres = (torch.arange(shape[0], dtype=torch.float64) + 0.5) * length / shape[0] - 0.5
    centres = centres.clamp(0, length - 1)
    lower = centres.floor().long()
    upper = (lower + 1).clamp(max=length - 1)
    weight = (centres - lower).float()[:, None, None]
    for start in range(0, shape[0], rows):
        part = slice(start, start + rows)
        planes = source[:, lower[part]]
        if shape[0] != length:
            planes = torch.lerp(planes, source[:, upper[part]], weight[part])
        if planes.shape[2:] != shape[1:]:
            planes = functional.interpolate(planes, size=shape[1:], mode="bilinear")
        yield planes.numpy()
