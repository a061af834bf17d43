"""Intensities on a common scale, per modality.

MR has no unit, so that each channel is normalised by itself: clipped to the 0.5th and 99.5th
percentile of its voxels that are not zero (a skull-stripped scan is zero outside), then shifted
and scaled to mean 0 and standard deviation 1 over the same voxels; zero is shifted and scaled
with them. CT has one: Hounsfield units are clipped, shifted and scaled by the statistics of the
labelled voxels of the training set.

Source: Isensee et al. 2021, nnU-Net, https://doi.org/10.1038/s41592-020-01008-z, supplement;
the clipping of MR is ours.
"""

import math
from collections.abc import Callable, Iterator
from typing import Final

import numpy as np
from jaxtyping import Float32, Float64, Shaped

from medseg.recipe import Window
from medseg.shapes import Box, Image, Voxels
from medseg.task import Task

CLIPPED_PERCENTILES: Final = (0.5, 99.5)
PIECE_VOXELS: Final = 1 << 20
"""How many are held in float64 at a time."""
_SMALLEST_DEVIATION: Final = 1e-8
"""Below this, in HU or as a part of the mean, values count as alike: one cannot divide by it."""


def normalise(voxels: Voxels, task: Task, windows: dict[str, Window]) -> Image:
    """Bring every channel to its scale.

    Args:
        voxels: The channels of a scan, finite and not constant, in the task's order.
        task: Names the channels and their modalities.
        windows: For each CT channel, the statistics of the training set.
    """
    return np.concatenate(list(normalised_pieces(voxels, task, windows)), axis=1)


def normalised_pieces(
    voxels: Voxels, task: Task, windows: dict[str, Window], part: Box | None = None
) -> Iterator[Image]:
    """Yield what `normalise` returns, or a part of it, in pieces one after the other along i."""
    bring = normaliser(voxels, task, windows)
    voxels = voxels if part is None else voxels[(slice(None), *part)]
    rows = max(1, PIECE_VOXELS // max(1, voxels[:, :1].size))
    for start in range(0, voxels.shape[1], rows):
        yield bring(voxels[:, start : start + rows])


def normaliser(voxels: Voxels, task: Task, windows: dict[str, Window]) -> Callable[[Voxels], Image]:
    """Return what brings any part of a scan to the scale that `normalise` brings the whole to."""
    scales = [
        windows[name] if name in windows else own_window(channel)
        for name, channel in zip(task.channels, voxels, strict=True)
    ]
    acts = [_by_window if name in windows else _by_itself for name in task.channels]

    def bring(part: Voxels) -> Image:
        return np.stack([act(*given) for act, *given in zip(acts, part, scales, strict=True)])

    return bring


def own_window(values: Shaped[np.ndarray, "..."]) -> Window:
    """Measure the statistics that an MR channel is normalised by: those of its own voxels.

    Voxels that are zero do not count. A channel without any other has the mean 0, deviation 1.
    """
    flat = values.ravel(order="K")
    inside = flat[flat != 0]
    if not inside.size:
        return Window(lower=0.0, upper=0.0, mean=0.0, deviation=1.0)
    lower, upper = _percentiles(inside)
    mean, deviation = _moments(inside, lower, upper)
    if deviation < _SMALLEST_DEVIATION * abs(mean):  # two values, as in a mask
        deviation = abs(mean)
    return Window(lower=lower, upper=upper, mean=mean, deviation=deviation)


def window(values: Float32[np.ndarray, " voxels"]) -> Window:
    """Measure the statistics that CT is normalised by.

    Args:
        values: Labelled voxels of the training set, in Hounsfield units; at least one.
    """
    lower, upper = np.percentile(values, CLIPPED_PERCENTILES)
    deviation = max(float(values.std(dtype=np.float64)), _SMALLEST_DEVIATION)
    mean = float(values.mean(dtype=np.float64))
    return Window(lower=float(lower), upper=float(upper), mean=mean, deviation=deviation)


def _percentiles(inside: Shaped[np.ndarray, " voxels"]) -> tuple[float, float]:
    """Return the clipping percentiles, as `np.percentile` has them; `inside` changes its order.

    In place and in its own type, since a copy in float64 may be larger than all memory.
    """
    places = [(inside.size - 1) * percentile / 100 for percentile in CLIPPED_PERCENTILES]
    below = [int(place) for place in places]
    above = [min(place + 1, inside.size - 1) for place in below]
    inside.partition(sorted({*below, *above}))
    found = [
        float(inside[low]) + (float(inside[high]) - float(inside[low])) * (place - low)
        for place, low, high in zip(places, below, above, strict=True)
    ]
    return (found[0], found[1])


def _moments(
    inside: Shaped[np.ndarray, " voxels"], lower: float, upper: float
) -> tuple[float, float]:
    """Return mean and standard deviation of the clipped voxels, in float64 and piece by piece."""
    starts = range(0, inside.size, PIECE_VOXELS)

    def clipped(start: int) -> Float64[np.ndarray, " some"]:
        part = inside[start : start + PIECE_VOXELS].astype(np.float64)
        return np.clip(part, lower, upper, out=part)

    mean = sum(float(clipped(start).sum()) for start in starts) / inside.size
    squares = sum(float(np.square(clipped(start) - mean).sum()) for start in starts)
    return mean, math.sqrt(squares / inside.size)


def _by_window(channel: Shaped[np.ndarray, "i j k"], scale: Window) -> Float32[np.ndarray, "i j k"]:
    clipped = np.clip(channel.astype(np.float32), scale.lower, scale.upper)
    return (clipped - np.float32(scale.mean)) / np.float32(scale.deviation)


def _by_itself(channel: Shaped[np.ndarray, "i j k"], scale: Window) -> Float32[np.ndarray, "i j k"]:
    values = channel.astype(np.float64)
    np.clip(values, scale.lower, scale.upper, out=values, where=channel != 0)
    return ((values - scale.mean) / scale.deviation).astype(np.float32)
