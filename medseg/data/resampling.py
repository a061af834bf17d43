"""Trilinear resampling between grids that cover the same box, one slab at a time.

Sample positions are voxel centres: output voxel `n` of an axis lies at input coordinate
`(n + 1/2) * input / output - 1/2`, as in `medseg.volume.resampled_grid`. Outside the outermost
centres the outermost value holds. Along one axis the nearest plane may be taken instead, where
planes are far apart. A part of a result, made of the part of the source that it needs, is the same
to the last bit as that part of the whole result.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Int64
from torch import Tensor

from medseg.shapes import Box, Shape

SLAB_BYTES: Final = 1 << 25
"""Of a piece of the result; it fits the processor's cache better than a larger one."""

Array = Float[np.ndarray, "channels i j k"]
Piece = Float[np.ndarray, "channels _ j k"]
Resampled = Float32[np.ndarray, "channels a b c"]


@dataclass(frozen=True)
class Cut:
    """Which part of a result is made of which part of its source.

    Attributes:
        source: Voxels of the whole source along each axis.
        result: Of the whole result.
        given: The first voxel of the part of the source.
        wanted: The first voxel of the part of the result.
    """

    source: Shape
    result: Shape
    given: Shape
    wanted: Shape

    def ordered(self, axes: Sequence[int]) -> "Cut":
        """Return it with its axes in another order."""
        source, result, given, wanted = (
            _ordered(each, axes) for each in (self.source, self.result, self.given, self.wanted)
        )
        return Cut(source, result, given, wanted)


def cut_for(part: Box, source: Shape, result: Shape) -> tuple[Box, Cut]:
    """Return the part of a source that a part of a result is made of, and the cut that says so.

    Args:
        part: Of the result.
        source: Voxels of the whole source along each axis.
        result: Of the whole result.
    """
    i, j, k = (needed(*each) for each in zip(part, source, result, strict=True))
    return (i, j, k), Cut(source, result, firsts((i, j, k)), firsts(part))


def firsts(part: Box) -> Shape:
    """Return where a part begins along each axis."""
    return (part[0].start, part[1].start, part[2].start)


def sizes(part: Box) -> Shape:
    """Return how many voxels a part has along each axis."""
    i, j, k = (along.stop - along.start for along in part)
    return (i, j, k)


def needed(part: slice, source: int, result: int) -> slice:
    """Return the planes of a source, of `source`, that a part of a result is made of."""
    places = _places(source, result, nearest=False).part(part.start, part.stop, 0)
    return slice(int(places.lower[0]), int(places.upper[-1]) + 1)


def touched(part: slice, source: int, result: int) -> slice:
    """Return the planes of a result that a part of the source has a share in; there may be none."""
    places = _places(source, result, nearest=False)
    return _run((places.upper >= part.start) & (places.lower < part.stop))


def complete(part: slice, source: int, result: int, *, nearest: bool = False) -> slice:
    """Return the planes of a result that a part of the source is enough for."""
    places = _places(source, result, nearest=nearest)
    return _run((places.lower >= part.start) & (places.upper < part.stop))


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
    cut: Cut | None = None,
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
        cut: What the pieces and the result are parts of; without it they are whole.

    Raises:
        ValueError: The pieces have more or fewer planes than `length`, or lack voxels that the
            result is made of.
    """
    lattice = _Lattice(shape, nearest, cut)
    places = lattice.places(0, length)
    carried: Tensor | None = None
    first = end = done = 0
    for part in _thin(pieces, shape, rows):
        held = part if carried is None else torch.cat([carried, part], dim=1)
        end = first + held.shape[1]
        ready = int(torch.searchsorted(places.upper, end))
        step = rows or _rows(held.shape[0], shape)
        for start in range(done, ready, step):
            stop = min(start + step, ready)
            planes = _along(held, 1, places.part(start, stop, first))
            yield _in_plane(planes, lattice).numpy()
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


@dataclass(frozen=True)
class _Lattice:
    """Where the voxels of a result lie in its source; see `slabs`."""

    shape: Shape
    nearest: int | None
    cut: Cut | None

    def places(self, axis: int, given: int) -> _Places:
        """Return the places along an axis, counted from the first of `given` planes."""
        nearest, made, cut = self.nearest == axis, self.shape[axis], self.cut
        if cut is None:
            return _places(given, made, nearest=nearest)
        whole = _places(cut.source[axis], cut.result[axis], nearest=nearest)
        part = whole.part(cut.wanted[axis], cut.wanted[axis] + made, cut.given[axis])
        if int(part.lower[0]) < 0 or int(part.upper[-1]) >= given:
            raise ValueError(f"the part of the source has too few planes along axis {axis}")
        return part


def _places(length: int, wanted: int, *, nearest: bool) -> _Places:
    centres = (torch.arange(wanted, dtype=torch.float64) + 0.5) * length / wanted - 0.5
    if nearest:
        centres = (centres + 0.5).floor()
    centres = centres.clamp(0, length - 1)
    lower = centres.floor().long()
    weight = (centres - lower).float()
    return _Places(lower, lower + (weight > 0), weight)


def _in_plane(planes: Tensor, lattice: _Lattice) -> Tensor:
    j, k = (lattice.places(axis, planes.shape[axis + 1]) for axis in (1, 2))
    planes = _along(planes, 2, j)
    if not k.weight.any():
        return _along(planes, 3, k)
    turned = planes.transpose(2, 3).contiguous()  # whole rows are picked some times as fast
    return _along(turned, 2, k).transpose(2, 3).contiguous()


def _along(planes: Tensor, axis: int, places: _Places) -> Tensor:
    """Resample along an axis; a view where planes are taken as they are."""
    first, count = int(places.lower[0]), len(places.lower)
    if places.weight.any():
        low = planes.index_select(axis, places.lower)
        high = planes.index_select(axis, places.upper)
        return low.lerp_(high, places.weight.view(-1, *(1,) * (planes.ndim - axis - 1)))
    if int(places.lower[-1]) - first == count - 1:
        return planes.narrow(axis, first, count)
    return planes.index_select(axis, places.lower)


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


def _run(wanted: Bool[Tensor, " planes"]) -> slice:
    """Return the planes that are wanted, which follow one another."""
    numbers = wanted.nonzero()
    return slice(int(numbers[0]), int(numbers[-1]) + 1) if len(numbers) else slice(0, 0)


def _ordered(values: Shape, axes: Sequence[int]) -> Shape:
    i, j, k = (values[axis] for axis in axes)
    return (i, j, k)
