"""The part of a scan that may hold something, where the task says what is background for certain.

A scan is cut to it before anything else is done, and the result put back. The cut is widened as
far as that costs no patch, so that a network sees the surroundings it saw in training.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from jaxtyping import Bool, Float32, Shaped

from medseg.data import resampling
from medseg.data.preprocessing import Box, Measured, Prepared
from medseg.inference.sliding_window import Tiling, step
from medseg.segmentation import Segmentation
from medseg.shapes import Mask
from medseg.task import Task
from medseg.volume import Grid, Volume, order_to_ras, reorder

AIR_HU: Final = -900.0
CERTAIN: Final = 30.0
"""The logit of what is certain."""

_ROWS: Final = 16


@dataclass(frozen=True, eq=False)
class Foreground:
    """A part of a scan.

    Attributes:
        volume: The part.
        box: Where it lies in the scan.
        grid: That of the whole scan.
    """

    volume: Volume
    box: Box
    grid: Grid

    def whole(self, found: Segmentation) -> Segmentation:
        """Return the segmentation of the whole scan; what was cut off is background."""
        return Segmentation(self._whole(found.label_map), self.grid, found.task)

    def whole_measured(self, found: Measured) -> Measured:
        """Do the same for one with its entropy, which is 0 in what was cut off."""
        entropy = None if found.entropy is None else self._whole(found.entropy)
        return replace(found, segmentation=self.whole(found.segmentation), entropy=entropy)

    def _whole(self, part: Shaped[np.ndarray, "i j k"]) -> Shaped[np.ndarray, "a b c"]:
        if part.shape == self.grid.shape:
            return part
        values = np.zeros(self.grid.shape, part.dtype)
        values[self.box] = part
        return values


def whole(volume: Volume) -> Foreground:
    """Return a scan of which nothing is cut off."""
    i, j, k = (slice(0, length) for length in volume.grid.shape)
    return Foreground(volume, (i, j, k), volume.grid)


def cropped(
    volume: Volume, task: Task, tiling: Tiling, spacing_mm: tuple[float, float, float]
) -> Foreground:
    """Cut off what is background for certain; all of it is kept if there is nothing else.

    Args:
        volume: A scan.
        task: Says what is background.
        tiling: Of the network, along the RAS axes.
        spacing_mm: The voxel size it works at, along the same.
    """
    inside = inside_of(volume, task)
    if inside is None or not inside.any():
        return whole(volume)
    box: list[slice] = [slice(0)] * 3
    for world, (axis, _) in enumerate(order_to_ras(volume.affine)):
        there = np.flatnonzero(inside.any(axis=tuple({0, 1, 2} - {axis})))
        scale = spacing_mm[world] / volume.spacing_mm[axis]
        room = _room(int(there[-1] - there[0]) + 1, scale, tiling, world)
        box[axis] = _widened(int(there[0]), int(there[-1]) + 1, room, inside.shape[axis])
    part = (box[0], box[1], box[2])
    affine = volume.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ [kept.start for kept in part]
    voxels = volume.voxels[(slice(None), *part)]
    i, j, k = voxels.shape[1:]
    return Foreground(Volume(voxels, Grid((i, j, k), affine)), part, volume.grid)


def inside_of(volume: Volume, task: Task) -> Mask | None:
    """Return what is not background for certain; None if the task does not say."""
    if task.outside is None:
        return None
    inside = np.zeros(volume.grid.shape, dtype=bool)
    for channel in volume.voxels:
        inside |= (channel != 0) if task.outside == "zero" else (channel >= AIR_HU)
    return inside


def outside_of(foreground: Foreground, prepared: Prepared, task: Task) -> Mask | None:
    """Return the voxels of a prepared image that no voxel of the foreground touches."""
    inside = inside_of(foreground.volume, task)
    if inside is None:
        return None
    upright = reorder(inside[None], prepared.order)
    shape = prepared.image.shape[1:]
    parts = resampling.slabs(_as_numbers(upright), upright.shape[1], (shape[0], shape[1], shape[2]))
    return np.concatenate([part[0] == 0 for part in parts])


def background_logits(task: Task) -> Float32[np.ndarray, " outputs"]:
    """Return the logits of a voxel that is background for certain."""
    logits = np.full(task.out_channels, -CERTAIN, dtype=np.float32)
    if task.exclusive:
        logits[0] = CERTAIN
    return logits


def _as_numbers(
    masks: Bool[np.ndarray, "one i j k"],
) -> Iterator[Float32[np.ndarray, "one _ j k"]]:
    for start in range(0, masks.shape[1], _ROWS):
        yield masks[:, start : start + _ROWS].astype(np.float32)


def _room(length: int, scale: float, tiling: Tiling, axis: int) -> int:
    """Return how many voxels the patches cover that `length` voxels need.

    Args:
        length: In voxels of the scan.
        scale: The network's voxel size, in voxels of the scan.
        tiling: Of the network.
        axis: Its axis.
    """
    patch = tiling.patch[axis]
    apart = step(patch, tiling.overlap)
    gaps = math.ceil(max(0, round(length / scale) - patch) / apart)
    covered = patch + gaps * apart
    return max(length, int(covered * scale + 1e-6))


def _widened(start: int, stop: int, room: int, extent: int) -> slice:
    """Widen a range evenly to `room`, within what there is."""
    start = max(0, start - (room - (stop - start)) // 2)
    stop = min(extent, start + room)
    return slice(max(0, stop - room), stop)
