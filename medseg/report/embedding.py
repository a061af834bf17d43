"""A scan and its label maps as they go into a page: small, and without a header's free text.

What is empty around a scan is cut off. If the rest is too large, what is far from the labels is cut
off too, and then neighbouring voxels are averaged until it fits. Intensities are kept in steps: 256
grey levels for MR, 4 Hounsfield units for CT.
"""

import base64
import gzip
import math
from dataclasses import dataclass
from typing import Final

import nibabel
import numpy as np
from jaxtyping import Int16, Shaped, UInt8

from medseg.shapes import LabelMap, Voxels
from medseg.task import Task
from medseg.volume import Grid, Volume, to_ras

MOST_VOXELS: Final = 10_000_000
"""Of all channels together."""
MOST_BYTES: Final = 10_000_000
"""Of all channels together, compressed: 13 MB as text in a page."""

_NEAR_MM: Final = 40.0
_HU_STEP: Final = 4.0
_HU_RANGE: Final = (-1024.0, 3071.0)
_SOFT_TISSUE: Final = (-160.0, 240.0)
_LEVELS: Final = 255
_TAILS: Final = (0.1, 99.9)  # percentiles beyond which MR is clipped

Box = tuple[slice, slice, slice]
Factors = tuple[int, int, int]


@dataclass(frozen=True)
class Embedded:
    """Volumes for a page, each a compressed NIfTI file as text.

    Attributes:
        channels: By name.
        windows: Lowest and highest grey value shown at first, by channel.
        label_maps: By their role; labels are numbered from 1 in the task's order.
        shape: Voxels along right, anterior and superior.
        start: The voxel to begin at: where most is labelled, else the middle.
        changes: What was left out, in words; empty if nothing was.
    """

    channels: dict[str, str]
    windows: dict[str, tuple[float, float]]
    label_maps: dict[str, str]
    shape: tuple[int, int, int]
    start: tuple[int, int, int]
    changes: tuple[str, ...]


def embed(
    scan: Volume,
    label_maps: dict[str, LabelMap],
    task: Task,
    *,
    most_voxels: int = MOST_VOXELS,
    most_bytes: int = MOST_BYTES,
) -> Embedded:
    """Make a scan and label maps on its grid fit into a page.

    Args:
        scan: The channels of the task, in order.
        label_maps: In the task's values, by role.
        task: Names the channels and the labels.
        most_voxels: Of all channels together; more are averaged.
        most_bytes: Of all channels together once they are compressed; as above.
    """
    upright = to_ras(scan)
    maps = {
        role: numbered(to_ras(Volume(label_map[None], scan.grid)).voxels[0], task)
        for role, label_map in label_maps.items()
    }
    any_label = np.any([label_map > 0 for label_map in maps.values()], axis=0)
    box, changes = _box(upright, any_label, most_voxels)
    factors, channels = _fitting(upright, box, task, most_voxels, most_bytes)
    grid = coarser(upright.grid, box, factors)
    if factors != (1, 1, 1):
        times = " x ".join(map(str, factors))
        changes.append(f"blocks of {times} voxels are averaged to one")
    rough = {role: most_frequent(label_map[box], factors) for role, label_map in maps.items()}
    return Embedded(
        channels=channels,
        windows=_windows(upright.voxels[:, *box], task),
        label_maps={
            role: _encoded(label_map, grid, is_label_map=True) for role, label_map in rough.items()
        },
        shape=grid.shape,
        start=_start(next(iter(rough.values())) > 0),
        changes=tuple(changes),
    )


def numbered(label_map: LabelMap, task: Task) -> UInt8[np.ndarray, "i j k"]:
    """Return a label map whose labels are numbered from 1, in the order of `task`."""
    numbers = np.zeros(max(label.value for label in task.labels.values()) + 1, np.uint8)
    for number, label in enumerate(task.labels.values(), start=1):
        numbers[label.value] = number
    return numbers[label_map]


def _fitting(
    upright: Volume, box: Box, task: Task, most_voxels: int, most_bytes: int
) -> tuple[Factors, dict[str, str]]:
    """Return the smallest blocks that are few enough, and the channels made of them."""
    factors = (1, 1, 1)
    while True:
        grid = coarser(upright.grid, box, factors)
        if math.prod(grid.shape) * len(upright.voxels) <= most_voxels or max(grid.shape) <= 2:
            channels = _channels(upright.voxels[:, *box], task, factors, grid)
            size = sum(map(len, channels.values())) * 3 / 4
            if size <= most_bytes or max(grid.shape) <= 2:
                return factors, channels
        factors = larger(factors, upright.grid)


def _start(labelled: Shaped[np.ndarray, "i j k"]) -> tuple[int, int, int]:
    counts = [labelled.sum(axis=tuple({0, 1, 2} - {axis})) for axis in range(3)]
    i, j, k = (int(each.argmax()) if each.any() else len(each) // 2 for each in counts)
    return i, j, k


def _box(
    scan: Volume, labelled: Shaped[np.ndarray, "i j k"], most_voxels: int
) -> tuple[Box, list[str]]:
    """Return what is kept of a scan, and what is said of the rest."""
    filled = np.any(scan.voxels != scan.voxels[:, :1, :1, :1], axis=0) | labelled
    box = around(filled, (0, 0, 0))
    kept = math.prod(part.stop - part.start for part in box)
    changes = []
    if kept * len(scan.voxels) > most_voxels and labelled.any():
        x, y, z = (math.ceil(round(_NEAR_MM / step, 6)) for step in scan.spacing_mm)
        near = around(labelled, (x, y, z))
        i, j, k = (
            slice(max(a.start, b.start), min(a.stop, b.stop))
            for a, b in zip(box, near, strict=True)
        )
        box = (i, j, k)
        changes.append(f"what is more than {_NEAR_MM:.0f} mm away from every label is cut off")
    return box, changes


def around(filled: Shaped[np.ndarray, "i j k"], margin: tuple[int, int, int]) -> Box:
    """Return the box of what is filled and so many voxels around it; all if nothing is filled."""
    parts = []
    for axis in range(3):
        others = tuple(other for other in range(3) if other != axis)
        places = np.flatnonzero(filled.any(axis=others))
        low, high = (places[0], places[-1] + 1) if len(places) else (0, filled.shape[axis])
        parts.append(
            slice(
                max(int(low) - margin[axis], 0), min(int(high) + margin[axis], filled.shape[axis])
            )
        )
    return parts[0], parts[1], parts[2]


def larger(factors: Factors, grid: Grid) -> Factors:
    """Return coarser blocks, whose sides in millimetres are as alike as can be."""
    sides_mm = [factor * step for factor, step in zip(factors, grid.spacing_mm, strict=True)]
    finest = sides_mm.index(min(sides_mm))
    x, y, z = (factor + (axis == finest) for axis, factor in enumerate(factors))
    return x, y, z


def coarser(grid: Grid, box: Box, factors: Factors) -> Grid:
    """Return the grid of the blocks in `box`; the last blocks may be smaller than the others."""
    starts = np.array([part.start for part in box], dtype=np.float64)
    sides = np.array(factors, dtype=np.float64)
    change = np.diag([*sides, 1.0])
    change[:3, 3] = starts + (sides - 1) / 2
    i, j, k = (-(-(part.stop - part.start) // f) for part, f in zip(box, factors, strict=True))
    return Grid((i, j, k), grid.affine @ change)


def _blocks(
    voxels: Shaped[np.ndarray, "i j k"], factors: Factors
) -> Shaped[np.ndarray, "x a y b z c"]:
    """Return the blocks of an image, whose last voxels are repeated until they are whole."""
    lacking = [(0, -size % factor) for size, factor in zip(voxels.shape, factors, strict=True)]
    padded = np.pad(voxels, lacking, mode="edge")
    i, j, k = (size // factor for size, factor in zip(padded.shape, factors, strict=True))
    return padded.reshape(i, factors[0], j, factors[1], k, factors[2])


def _mean(voxels: Shaped[np.ndarray, "i j k"], factors: Factors) -> Shaped[np.ndarray, "x y z"]:
    if factors == (1, 1, 1):
        return voxels.astype(np.float32)
    return _blocks(voxels, factors).mean(axis=(1, 3, 5), dtype=np.float32)


def most_frequent(
    label_map: UInt8[np.ndarray, "i j k"], factors: Factors
) -> UInt8[np.ndarray, "x y z"]:
    """Return the most frequent value of each block; of equals a label, not background."""
    if factors == (1, 1, 1):
        return label_map
    blocks = _blocks(label_map, factors)
    counts = [(blocks == value).sum(axis=(1, 3, 5)) for value in range(int(label_map.max()) + 1)]
    last_first = np.stack(counts[::-1])
    return (len(counts) - 1 - last_first.argmax(axis=0)).astype(np.uint8)


def _channels(voxels: Voxels, task: Task, factors: Factors, grid: Grid) -> dict[str, str]:
    encoded = {}
    for (name, modality), channel in zip(task.channels.items(), voxels, strict=True):
        steps, slope, intercept = _in_steps(_mean(channel, factors), modality)
        encoded[name] = _encoded(steps, grid, slope=slope, intercept=intercept)
    return encoded


def _in_steps(
    values: Shaped[np.ndarray, "i j k"], modality: str
) -> tuple[Int16[np.ndarray, "i j k"] | UInt8[np.ndarray, "i j k"], float, float]:
    """Return values in steps, the size of a step, and the value of step 0."""
    if modality == "ct":
        low, high = _HU_RANGE
        steps = np.round((np.clip(values, low, high) - low) / _HU_STEP)
        return steps.astype(np.int16), _HU_STEP, low
    low, high = (float(level) for level in np.percentile(values, _TAILS))
    step = (high - low) / _LEVELS or 1.0
    return np.round((np.clip(values, low, high) - low) / step).astype(np.uint8), step, low


def _windows(voxels: Voxels, task: Task) -> dict[str, tuple[float, float]]:
    windows = {}
    for (name, modality), channel in zip(task.channels.items(), voxels, strict=True):
        if modality == "ct":
            windows[name] = _SOFT_TISSUE
            continue
        inside = channel[channel != 0] if (channel != 0).any() else channel
        low, high = (float(level) for level in np.percentile(inside, (1, 99)))
        windows[name] = (low, max(high, low + 1e-6))
    return windows


def _encoded(
    voxels: Shaped[np.ndarray, "i j k"],
    grid: Grid,
    *,
    slope: float = 1.0,
    intercept: float = 0.0,
    is_label_map: bool = False,
) -> str:
    image = nibabel.Nifti1Image(voxels, grid.affine)
    image.header.set_xyzt_units("mm")
    image.header.set_slope_inter(slope, intercept)
    if is_label_map:
        image.header.set_intent("label")
    return base64.b64encode(gzip.compress(image.to_bytes(), compresslevel=6, mtime=0)).decode()
