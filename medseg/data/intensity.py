"""Intensities on a common scale, per modality.

MR has no unit, so that each channel is normalised by itself: clipped to the 0.5th and 99.5th
percentile of its voxels that are not zero (a skull-stripped scan is zero outside), then shifted
and scaled to mean 0 and standard deviation 1 over the same voxels; zero is shifted and scaled
with them. CT has one: Hounsfield units are clipped, shifted and scaled by the statistics of the
labelled voxels of the training set.

Source: Isensee et al. 2021, nnU-Net, https://doi.org/10.1038/s41592-020-01008-z, supplement;
the clipping of MR is ours.
"""

from typing import Final

import numpy as np
from jaxtyping import Float32, Shaped

from medseg.recipe import Window
from medseg.shapes import Image, Voxels
from medseg.task import Task

CLIPPED_PERCENTILES: Final = (0.5, 99.5)
_SMALLEST_DEVIATION: Final = 1e-8
"""Below this, in HU or as a part of the mean, values count as alike: one cannot divide by it."""


def normalise(voxels: Voxels, task: Task, windows: dict[str, Window]) -> Image:
    """Bring every channel to its scale.

    Args:
        voxels: The channels of a scan, finite and not constant, in the task's order.
        task: Names the channels and their modalities.
        windows: For each CT channel, the statistics of the training set.
    """
    channels = [
        _by_window(channel, windows[name]) if name in windows else _by_itself(channel)
        for name, channel in zip(task.channels, voxels, strict=True)
    ]
    return np.stack(channels)


def own_window(values: Shaped[np.ndarray, "..."]) -> Window:
    """Measure the statistics that an MR channel is normalised by: those of its own voxels.

    Voxels that are zero do not count. A channel without any other has the mean 0, deviation 1.
    """
    inside = values[values != 0].astype(np.float64)  # float32 sums lose digits at a million
    if not inside.size:
        return Window(lower=0.0, upper=0.0, mean=0.0, deviation=1.0)
    lower, upper = np.percentile(inside, CLIPPED_PERCENTILES)
    np.clip(inside, lower, upper, out=inside)
    mean, deviation = float(inside.mean()), float(inside.std())
    if deviation < _SMALLEST_DEVIATION * abs(mean):  # two values, as in a mask
        deviation = abs(mean)
    return Window(lower=float(lower), upper=float(upper), mean=mean, deviation=deviation)


def window(values: Float32[np.ndarray, " voxels"]) -> Window:
    """Measure the statistics that CT is normalised by.

    Args:
        values: Labelled voxels of the training set, in Hounsfield units; at least one.
    """
    lower, upper = np.percentile(values, CLIPPED_PERCENTILES)
    deviation = max(float(values.std(dtype=np.float64)), _SMALLEST_DEVIATION)
    mean = float(values.mean(dtype=np.float64))
    return Window(lower=float(lower), upper=float(upper), mean=mean, deviation=deviation)


def _by_window(channel: Shaped[np.ndarray, "i j k"], scale: Window) -> Float32[np.ndarray, "i j k"]:
    clipped = np.clip(channel.astype(np.float32), scale.lower, scale.upper)
    return (clipped - np.float32(scale.mean)) / np.float32(scale.deviation)


def _by_itself(channel: Shaped[np.ndarray, "i j k"]) -> Float32[np.ndarray, "i j k"]:
    scale = own_window(channel)
    values = channel.astype(np.float64)
    np.clip(values, scale.lower, scale.upper, out=values, where=channel != 0)
    return ((values - scale.mean) / scale.deviation).astype(np.float32)
