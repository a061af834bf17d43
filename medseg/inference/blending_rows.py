"""Where rows of overlapping patches meet, worked out once for all rows that meet alike.

The compiled loops take a row sixteen voxels at a time. A patch that begins among the sixteen has
only some of them; which is a number with a bit for each.
"""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, Int64

from medseg.blocks.selective_scan.cpu.lanes import WIDTH
from medseg.inference.blend_weight import SMALLEST, Blend, along


class Rows(NamedTuple):
    """How the rows of some patches meet that differ in their place along the row alone.

    A piece is what one patch has of sixteen voxels.

    Attributes:
        length: Voxels that are taken of the row.
        firsts: Of each sixteen voxels, the first piece; at the end, how many pieces there are.
        owners: Of each piece, the patch.
        shifts: Of each piece, where in the patch its sixteen voxels begin: before the patch's
            first voxel, if that is among them.
        masks: Of each piece, a bit for each voxel that the patch has, the first voxel's the lowest.
        weights: Of each piece, how much the voxels count along the row, without those that the
            patch does not have.
        floors: Of each piece, how much the voxels count at least.
    """

    length: int
    firsts: Int64[np.ndarray, " sixteens_and_one"]
    owners: Int64[np.ndarray, " pieces"]
    shifts: Int64[np.ndarray, " pieces"]
    masks: Int64[np.ndarray, " pieces"]
    weights: Float32[np.ndarray, " sixteen_times_pieces"]
    floors: Float32[np.ndarray, " sixteen_times_pieces"]


@functools.lru_cache(maxsize=64)
def rows(starts: tuple[int, ...], size: int, blend: Blend, first: int, last: int) -> Rows:
    """Return how rows meet.

    Args:
        starts: The first voxel of each patch, in the coordinates of the next two.
        size: Voxels of a patch along the row.
        blend: How they are weighted.
        first: The first voxel that is taken of the row.
        last: That after the last one.
    """
    peak = along(size, blend).numpy()
    firsts, pieces = [0], []
    for begin in range(first, last, WIDTH):
        voxels = np.arange(begin, begin + WIDTH)
        for owner, start in enumerate(starts):
            there = (voxels >= start) & (voxels < min(start + size, last))
            if there.any():
                counts = np.where(there, peak[np.clip(voxels - start, 0, size - 1)], 0)
                mask = int((1 << np.flatnonzero(there)).sum())
                pieces.append((owner, begin - start, mask, counts, there * SMALLEST[blend]))
        firsts.append(len(pieces))
    owners, shifts, masks, weights, floors = zip(*pieces, strict=True)
    numbers = (np.array(each, np.int64) for each in (firsts, owners, shifts, masks))
    lanes = (np.concatenate(each).astype(np.float32) for each in (weights, floors))
    return Rows(last - first, *numbers, *lanes)


def across(
    starts: Sequence[int], size: int, blend: Blend, first: int, last: int
) -> Float32[np.ndarray, "patches _"]:
    """Return how much the voxels from `first` to `last` count in each patch: 0 outside of it.

    Args:
        starts: The first voxel of each patch.
        size: Voxels of a patch along the axis.
        blend: How they are weighted.
        first: The first voxel.
        last: That after the last one.
    """
    peak = along(size, blend).float().numpy()
    counts = np.zeros((len(starts), last - first), np.float32)
    for patch, start in zip(counts, starts, strict=True):
        begin, end = max(start, first), min(start + size, last)
        if begin < end:
            patch[begin - first : end - first] = peak[begin - start : end - start]
    return counts
