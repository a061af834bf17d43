"""Trilinear resampling between grids that cover the same box, one slab at a time.

Sample positions are voxel centres: output voxel `n` of an axis lies at input coordinate
`(n + 1/2) * input / output - 1/2`, as in `medseg.volume.resampled_grid`. Outside the outermost
centres the outermost value holds. Along one axis the nearest plane may be taken instead, where
planes are far apart.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from jaxtyping import Float, Float32, Int64
from torch import Tensor
from torch.nn import functional

from medseg.shapes import Shape

SLAB_BYTES: Final = 1 << 25
"""Of a piece of the result; it fits the processor's cache better than a larger one."""

Array = Float[np.ndarray, "channels i j k"]
Piece = Float[np.ndarray, "channels _ j k"]
Resampled = Float32[np.ndarray, "channels a b c"]


def resample(voxels: Array, shape: Shape) -> Resampled:
    """Resample every channel to `shape`."""
    if voxels.shape[1:] == shape:
        return voxels
    return joined(slabs([voxels], voxels.shape[1], shape), len(voxels), shape)


def joined(pieces: Iterable[Piece], channels: int, shape: Shape) -> Resampled:
    """Put pieces that follow one another along i into one array."""
    result = np.empty((channels, *shape), np.float32)
    start = 0
    for piece in pieces:
        result[:, start : start + piece.shape[1]] = piece
        start += piece.shape[1]
    return result


def slabs(
    pieces: Iterable[Piece],
    length: int,
    shape: Shape,
    *,
    rows: int | None = None,
    nearest: int | None = None,
) -> Iterator[Resampled]:
    """Yield the result of `resample` in pieces along i, as soon as the planes for them are there.

    At most one plane is kept from piece to piece, so that neither all voxels nor all of the result
    are ever held.

    Args:
        pieces: The voxels, one piece after the other along i; a piece may be overwritten once the
            next one is asked for.
        length: How many planes the pieces have together.
        shape: Of the result.
        rows: Most planes of the result in a piece; else what `SLAB_BYTES` holds.
        nearest: Axis (0, 1 or 2) along which the nearest voxel is taken; of two, the later.

    Raises:
        ValueError: The pieces have more or fewer planes than `length`.
    """
    places = _places(length, shape[0], nearest=nearest == 0)
    carried: Tensor | None = None
    first = end = done = 0
    for part in _thin(pieces, shape, rows):
        held = part if carried is None else torch.cat([carried, part], dim=1)
        end = first + held.shape[1]
        ready = int(torch.searchsorted(places.upper, end))
        step = rows or _rows(held.shape[0], shape)
        for start in range(done, ready, step):
            stop = min(start + step, ready)
            planes = _between(held, places.part(start, stop, first))
            yield _within(planes, shape, nearest).numpy()
        done = ready
        keep = min(int(places.lower[done]), end) if done < shape[0] else end
        carried = held[:, keep - first :].clone() if keep < end else None
        first = keep
    if end != length:
        raise ValueError(f"the pieces have {end} planes instead of {length}")


@dataclass(frozen=True)
class _Places:
    """Between which two planes each plane of the result lies, and how near to the upper one."""

    lower: Int64[Tensor, " planes"]
    upper: Int64[Tensor, " planes"]
    weight: Float32[Tensor, " planes"]

    def part(self, start: int, stop: int, first: int) -> "_Places":
        """Return the places `start` to `stop`, counted from plane `first`."""
        there = slice(start, stop)
        return _Places(self.lower[there] - first, self.upper[there] - first, self.weight[there])


def _places(length: int, wanted: int, *, nearest: bool) -> _Places:
    centres = (torch.arange(wanted, dtype=torch.float64) + 0.5) * length / wanted - 0.5
    if nearest:
        centres = (centres + 0.5).floor()
    centres = centres.clamp(0, length - 1)
    lower = centres.floor().long()
    weight = (centres - lower).float()
    return _Places(lower, lower + (weight > 0), weight)


def _between(held: Tensor, places: _Places) -> Tensor:
    count = len(places.lower)
    if places.weight.any():
        weight = places.weight[:, None, None]
        return torch.lerp(held[:, places.lower], held[:, places.upper], weight)
    if int(places.lower[-1] - places.lower[0]) == count - 1:  # the planes themselves: no copy
        return held[:, int(places.lower[0]) : int(places.lower[-1]) + 1]
    return held[:, places.lower]


def _within(planes: Tensor, shape: Shape, nearest: int | None) -> Tensor:
    if nearest and planes.shape[nearest + 1] != shape[nearest]:
        places = _places(planes.shape[nearest + 1], shape[nearest], nearest=True)
        planes = planes.index_select(nearest + 1, places.lower)
    if planes.shape[2:] != shape[1:]:
        planes = functional.interpolate(planes, size=shape[1:], mode="bilinear")
    return planes


def _thin(pieces: Iterable[Piece], shape: Shape, rows: int | None) -> Iterator[Tensor]:
    """Cut pieces into thin ones that torch can read, in float32."""
    for piece in pieces:
        channels, planes, j, k = piece.shape
        step = rows or _rows(channels, (planes, max(j, shape[1]), max(k, shape[2])))
        for start in range(0, planes, step):
            thin = piece[:, start : start + step]
            if min(thin.strides) < 0 or not thin.flags.writeable:
                thin = thin.copy()
            yield torch.from_numpy(thin).float()


def _rows(channels: int, shape: Shape) -> int:
    return max(1, SLAB_BYTES // (4 * channels * shape[1] * shape[2]))
