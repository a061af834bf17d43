"""One scan in numbers, and the labels in it: what training keeps and inference compares with.

Training and inference share these functions, so that what they measure is the same.
"""

import math
from dataclasses import dataclass
from itertools import combinations
from typing import Final

import numpy as np
from jaxtyping import Float64, Shaped
from scipy import ndimage

from medseg.data.intensity import own_window
from medseg.experience import LEVELS, ChannelExperience, Experience, LabelExperience, Levels, spread
from medseg.recipe import Window
from medseg.shapes import LabelMap, Mask, Spacing
from medseg.task import Task
from medseg.volume import Volume, to_ras

_HUGE: Final = 1e38
MOST_VALUES: Final = 1_000_000
"""A channel with more voxels is thinned evenly before its percentiles are taken."""


@dataclass(frozen=True)
class ChannelDescription:
    """One channel; the fields are those of `medseg.experience.ChannelExperience`."""

    minimum: float
    zero_share: float
    levels: Levels


@dataclass(frozen=True)
class ScanDescription:
    """One scan; the fields are those of `medseg.experience.Experience`."""

    spacing_mm: Spacing
    extent_mm: tuple[float, float, float]
    channels: dict[str, ChannelDescription]
    correlations: dict[str, float]


@dataclass(frozen=True)
class LabelDescription:
    """One label in one segmentation.

    Attributes:
        volume_ml: Its volume; 0 if it is absent.
        components: Number of parts that touch nowhere, not even at a corner.
        touches: The sides of the image it reaches, such as `left` or `inferior`.
        intensities: Its mean in each channel, on the scale of the channel's levels.
    """

    volume_ml: float
    components: int
    touches: tuple[str, ...]
    intensities: dict[str, float]


def describe_scan(volume: Volume, task: Task) -> ScanDescription:
    """Measure a scan whose channels are those of `task`, in order."""
    upright = to_ras(volume)
    names = list(task.channels)
    thinned = [_thinned(channel) for channel in upright.voxels]
    channels = {
        name: _channel(values, modality)
        for (name, modality), values in zip(task.channels.items(), thinned, strict=True)
    }
    correlations = {
        f"{names[one]} {names[other]}": _correlation(thinned[one], thinned[other])
        for one, other in combinations(range(len(names)), 2)
    }
    i, j, k = np.array(upright.grid.shape) * np.array(upright.spacing_mm)
    return ScanDescription(
        upright.spacing_mm, (float(i), float(j), float(k)), channels, correlations
    )


def describe_labels(volume: Volume, label_map: LabelMap, task: Task) -> dict[str, LabelDescription]:
    """Measure every label of `task` in a label map on the grid of `volume`."""
    upright = to_ras(volume)
    labels = to_ras(Volume(label_map[None], volume.grid)).voxels[0]
    scales = [
        _scale(_thinned(channel), modality)
        for channel, modality in zip(upright.voxels, task.channels.values(), strict=True)
    ]
    voxel_ml = abs(float(np.linalg.det(volume.affine[:3, :3]))) / 1000.0
    boxes = ndimage.find_objects(labels)
    found = {}
    for name, label in task.labels.items():
        box = boxes[label.value - 1] if label.value <= len(boxes) else None
        if box is None:
            found[name] = LabelDescription(0.0, 0, (), {})
            continue
        mask = labels[box] == label.value
        means = (
            _mean(channel[box], mask, scale)
            for channel, scale in zip(upright.voxels, scales, strict=True)
        )
        found[name] = LabelDescription(
            volume_ml=float(mask.sum()) * voxel_ml,
            components=_components(mask),
            touches=_sides(box, labels.shape),
            intensities=dict(zip(task.channels, means, strict=True)),
        )
    return found


def gathered(scans: list[ScanDescription], labels: list[dict[str, LabelDescription]]) -> Experience:
    """Return what is common to the scans, at least one, and to the labels in them."""
    first = scans[0]
    x, y, z = (spread([scan.spacing_mm[axis] for scan in scans]) for axis in range(3))
    right, front, top = (spread([scan.extent_mm[axis] for scan in scans]) for axis in range(3))
    return Experience(
        cases=len(scans),
        spacing_mm=(x, y, z),
        extent_mm=(right, front, top),
        channels={
            name: _gathered_channel([scan.channels[name] for scan in scans])
            for name in first.channels
        },
        correlations={
            pair: spread([scan.correlations[pair] for scan in scans]) for pair in first.correlations
        },
        labels=_gathered_labels(labels),
    )


def _gathered_channel(channels: list[ChannelDescription]) -> ChannelExperience:
    a, b, c, d, e, f, g = (
        spread([channel.levels[place] for channel in channels]) for place in range(len(LEVELS))
    )
    return ChannelExperience(
        minimum=spread([channel.minimum for channel in channels]),
        zero_share=spread([channel.zero_share for channel in channels]),
        levels=(a, b, c, d, e, f, g),
    )


def _gathered_labels(cases: list[dict[str, LabelDescription]]) -> dict[str, LabelExperience]:
    gathered = {}
    for name in cases[0]:
        present = [case[name] for case in cases if case[name].volume_ml > 0]
        if present:
            gathered[name] = LabelExperience(
                present=len(present) / len(cases),
                touching=sum(bool(label.touches) for label in present) / len(present),
                volume_ml=spread([label.volume_ml for label in present]),
                components=spread([label.components for label in present]),
                intensities={
                    channel: spread([label.intensities[channel] for label in present])
                    for channel in present[0].intensities
                },
            )
    return gathered


def _thinned(channel: Shaped[np.ndarray, "i j k"]) -> Shaped[np.ndarray, " voxels"]:
    """Return voxels on a coarse lattice; the same places in every channel of a scan."""
    step = math.ceil((channel.size / MOST_VALUES) ** (1 / 3))
    return channel[::step, ::step, ::step].reshape(-1)


def _channel(values: Shaped[np.ndarray, " voxels"], modality: str) -> ChannelDescription:
    zero = values == 0
    inside = values if modality == "ct" or zero.all() else values[~zero]
    scaled = _scaled(inside, _scale(values, modality))
    a, b, c, d, e, f, g = (float(level) for level in np.percentile(scaled, LEVELS))
    return ChannelDescription(
        minimum=float(values.min()),
        zero_share=float(zero.mean()),
        levels=(a, b, c, d, e, f, g),
    )


def _scale(values: Shaped[np.ndarray, " voxels"], modality: str) -> Window:
    """Return the scale on which scans are compared: CT keeps its Hounsfield units."""
    if modality == "ct":
        return Window(lower=-_HUGE, upper=_HUGE, mean=0.0, deviation=1.0)
    return own_window(values)


def _scaled(values: Shaped[np.ndarray, " inside"], scale: Window) -> Float64[np.ndarray, " inside"]:
    clipped = np.clip(values.astype(np.float64), scale.lower, scale.upper)
    return (clipped - scale.mean) / scale.deviation


def _mean(channel: Shaped[np.ndarray, "i j k"], mask: Mask, scale: Window) -> float:
    """Return the mean inside a mask, summed plane by plane: indices of a whole scan are large."""
    axis = int(np.argmax(np.abs(channel.strides)))
    planes = zip(np.moveaxis(channel, axis, 0), np.moveaxis(mask, axis, 0), strict=True)
    total = sum(float(_scaled(plane[inside], scale).sum()) for plane, inside in planes)
    return total / int(mask.sum())


def _correlation(one: Shaped[np.ndarray, " voxels"], other: Shaped[np.ndarray, " voxels"]) -> float:
    both = (one != 0) & (other != 0)
    first, second = one[both].astype(np.float64), other[both].astype(np.float64)
    if len(first) < 2 or first.std() == 0 or second.std() == 0:
        return 0.0
    return float(np.corrcoef(first, second)[0, 1])


def _components(mask: Mask) -> int:
    return int(ndimage.label(mask, structure=np.ones((3, 3, 3)))[1])


def _sides(box: tuple[slice, ...], shape: tuple[int, ...]) -> tuple[str, ...]:
    """Name the sides of an upright image that a box reaches."""
    names = (("left", "right"), ("posterior", "anterior"), ("inferior", "superior"))
    reached = []
    for (low, high), part, length in zip(names, box, shape, strict=True):
        reached += [low] * (part.start == 0) + [high] * (part.stop == length)
    return tuple(reached)
