"""The part of a scan that may hold something, where the task says what is background for certain.

Only this part is computed; what lies around it is background. It is cut in voxels of the network,
so that these lie where they would lie without it, and it is widened as far as that costs no patch,
so that a network sees the surroundings it saw in training.
"""

import math
from collections.abc import Iterator
from typing import Final

import numpy as np
from jaxtyping import Float32

from medseg.data import resampling
from medseg.data.preprocessing import Part, Prepared
from medseg.inference.sliding_window import Tiling, step
from medseg.recipe import Plan
from medseg.shapes import Box, Mask, Spacing, Voxels
from medseg.task import Task
from medseg.volume import Volume, order_to_ras, reorder, resampled_grid, upright

AIR_HU: Final = -900.0
CERTAIN: Final = 30.0
"""The logit of what is certain."""

_ROWS: Final = 16


def kept(volume: Volume, task: Task, tiling: Tiling, spacing_mm: Spacing) -> Box | None:
    """Return the part of the network's image to be computed; None: all of it.

    Args:
        volume: A scan.
        task: Says what is background for certain.
        tiling: Of the network, along the RAS axes.
        spacing_mm: The voxel size it works at, along the same.
    """
    inside = inside_of(volume.voxels, task)
    if inside is None or not inside.any():
        return None
    mask = reorder(inside[None], order_to_ras(volume.affine))[0]
    whole = resampled_grid(upright(volume.grid), spacing_mm).shape
    i, j, k = (
        _roomy(_near(_extent(mask, axis), mask.shape[axis], whole[axis]), whole[axis], tiling, axis)
        for axis in range(3)
    )
    return (i, j, k)


def kept_in_training(volume: Volume, task: Task, plan: Plan) -> Box | None:
    """Return the part that a model is trained on: what it will be applied to."""
    return kept(volume, task, Tiling(plan.patch, plan.inference.overlap), plan.spacing_mm)


def kept_for(part: Part, volume: Volume, tiling: Tiling, spacing_mm: Spacing) -> Box:
    """Return the part of another network's image that holds `part` of a first one's.

    Args:
        part: Of the first one's image.
        volume: The scan of both.
        tiling: Of the other network.
        spacing_mm: The voxel size it works at.
    """
    whole = resampled_grid(upright(volume.grid), spacing_mm).shape
    held, _ = resampling.cut_for(part.place, whole, part.whole)
    i, j, k = (_roomy(held[axis], whole[axis], tiling, axis) for axis in range(3))
    return (i, j, k)


def inside_of(voxels: Voxels, task: Task) -> Mask | None:
    """Return what is not background for certain; None if the task does not say."""
    if task.outside is None:
        return None
    inside = np.zeros(voxels.shape[1:], dtype=bool)
    for channel in voxels:
        inside |= (channel != 0) if task.outside == "zero" else (channel >= AIR_HU)
    return inside


def outside_of(volume: Volume, prepared: Prepared, task: Task) -> Mask | None:
    """Return the voxels of a prepared image that no voxel of the scan's foreground touches."""
    if task.outside is None:
        return None
    i, j, k = prepared.image.shape[1:]
    part = prepared.part or Part((slice(0, i), slice(0, j), slice(0, k)), (i, j, k))
    source, cut = resampling.cut_for(part.place, prepared.ras_shape, part.whole)
    inside = inside_of(reorder(volume.voxels, prepared.order)[(slice(None), *source)], task)
    if inside is None:
        return None
    parts = resampling.slabs(_as_numbers(inside), len(inside), (i, j, k), cut=cut)
    return np.concatenate([found[0] == 0 for found in parts])


def background_logits(task: Task) -> Float32[np.ndarray, " outputs"]:
    """Return the logits of a voxel that is background for certain."""
    logits = np.full(task.out_channels, -CERTAIN, dtype=np.float32)
    if task.exclusive:
        logits[0] = CERTAIN
    return logits


def _as_numbers(mask: Mask) -> Iterator[Float32[np.ndarray, "one _ j k"]]:
    for start in range(0, len(mask), _ROWS):
        yield mask[None, start : start + _ROWS].astype(np.float32)


def _extent(mask: Mask, axis: int) -> slice:
    """Return the planes from the first to the last that hold something."""
    others = tuple(other for other in range(3) if other != axis)
    there = np.flatnonzero(mask.any(axis=others))
    return slice(int(there[0]), int(there[-1]) + 1)


def _near(part: slice, scan: int, image: int) -> slice:
    """Return the planes of an image that a part of its scan has a share in, or is made of."""
    seen, back = resampling.touched(part, scan, image), resampling.needed(part, image, scan)
    if seen.start == seen.stop:  # it lies between two planes of a coarser image
        return back
    return slice(min(seen.start, back.start), max(seen.stop, back.stop))


def _roomy(part: slice, extent: int, tiling: Tiling, axis: int) -> slice:
    """Widen a part evenly to what the patches cover that it needs, within what there is."""
    length, patch = part.stop - part.start, tiling.patch[axis]
    apart = step(patch, tiling.overlap)
    room = patch + math.ceil(max(0, length - patch) / apart) * apart
    start = max(0, part.start - (room - length) // 2)
    stop = min(extent, start + room)
    return slice(max(0, stop - room), stop)
