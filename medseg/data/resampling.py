"""Trilinear resampling between grids that cover the same box, one slab at a time.

Sample positions are voxel centres: output voxel `n` of an axis lies at input coordinate
`(n + 1/2) * input / output - 1/2`, as in `medseg.volume.resampled_grid`. Outside the outermost
centres the outermost value holds. Along one axis the nearest plane may be taken instead, where
planes are far apart.
"""

from collections.abc import Iterator
from typing import Final

import numpy as np
import torch
from jaxtyping import Float32, Float64
from torch import Tensor
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


def slabs(
    voxels: Array, shape: Shape, *, rows: int = SLAB_ROWS, nearest_axis: int | None = None
) -> Iterator[Resampled]:
    """Yield the result of `resample` in pieces of `rows` planes along i.

    Only one piece is held at a time, which keeps the export of many classes within memory.

    Args:
        voxels: What is resampled.
        shape: Of the result.
        rows: Planes of a piece.
        nearest_axis: Along which (0, 1 or 2) the nearest plane is taken.
    """
    source = torch.from_numpy(np.require(voxels, requirements=("C", "W")))
    length = source.shape[1]
    centres = _centres(length, shape[0])
    if nearest_axis == 0:
        centres = (centres + 0.5).floor().clamp(max=length - 1)
    lower = centres.floor().long()
    upper = (lower + 1).clamp(max=length - 1)
    weight = (centres - lower).float()[:, None, None]
    for start in range(0, shape[0], rows):
        part = slice(start, start + rows)
        planes = source[:, lower[part]]
        if weight[part].any():
            planes = torch.lerp(planes, source[:, upper[part]], weight[part])
        if nearest_axis:
            planes = _nearest(planes, nearest_axis + 1, shape[nearest_axis])
        if planes.shape[2:] != shape[1:]:
            planes = functional.interpolate(planes, size=shape[1:], mode="bilinear")
        yield planes.numpy()


def _centres(length: int, count: int) -> Float64[Tensor, " count"]:
    """Return where the centres of `count` voxels lie among those of `length`."""
    centres = (torch.arange(count, dtype=torch.float64) + 0.5) * length / count - 0.5
    return centres.clamp(0, length - 1)


def _nearest(planes: Tensor, axis: int, count: int) -> Tensor:
    """Take the nearest of the planes along `axis`; of two, the later."""
    length = planes.shape[axis]
    index = (_centres(length, count) + 0.5).floor().long().clamp(max=length - 1)
    return planes if count == length else planes.index_select(axis, index)
