"""The segments of a file: which label of a task each is, by its name and not by its value.

3D Slicer numbers segments anew when one is added or moved, so that a value says nothing by itself.
A segment is a label if its identifier is the label's name, or its name the label's title or name,
or else, in DICOM, if its codes are those of that label alone. Files of other programs, whose
segments are called `Segment_1` or not at all, are read by value.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from medseg.errors import DataError, listed
from medseg.segmentation import label_map_dtype
from medseg.shapes import LabelMap, Voxels
from medseg.task import Task

_NAMELESS: Final = re.compile(r"(segment[ _]?\d*)?", re.IGNORECASE)
"""What Slicer calls a segment that nobody has named."""

_ANYTHING: Final = ("SCT^85756007",)
"""Tissue: what programs call a segment that nobody has coded."""


@dataclass(frozen=True)
class Segment:
    """What the header of a `.seg.nrrd` or DICOM segmentation says of one segment.

    Attributes:
        key: Its identifier.
        title: What a person reads.
        value: Stands for it in its layer.
        layer: The channel that holds it.
        code: Scheme and value of what it is, as `SCT^10200004`, then of the modifier; empty if the
            file does not say.
    """

    key: str
    title: str
    value: int
    layer: int
    code: tuple[str, ...] = ()

    @property
    def is_nameless(self) -> bool:
        """Whether its name says nothing of what it is."""
        return _NAMELESS.fullmatch(self.title.strip()) is not None


def are_by_value(layers: Voxels, segments: Sequence[Segment], task: Task) -> bool:
    """Tell whether the values of a file are all there is to go by: one layer without names."""
    named = any(_structure(segment, task) or not segment.is_nameless for segment in segments)
    return len(layers) == 1 and not named


def label_map_of(
    layers: Voxels, segments: Sequence[Segment], task: Task, *, where: Path
) -> LabelMap:
    """Return the label map that segments make up, with the values of `task`.

    Raises:
        DataError: A segment is no label or region of `task`, no segment is a label, voxels belong
            to no segment, labels overlap, or a region is not what its labels make up.
    """
    told = {segment: _structure(segment, task) for segment in segments}
    _require_known(told, task, where)
    label_map = np.zeros(layers.shape[1:], dtype=label_map_dtype(task))
    masks = [(name, layers[each.layer] == each.value) for each, name in told.items()]
    for name, mask in masks:
        if name in task.labels:
            _paint(label_map, mask, name, task, where)
    for name, mask in masks:
        if name in task.regions and name not in task.labels:
            _require_union(label_map, mask, name, task, where)
    _require_told(layers, segments, where)
    return label_map


def _structure(segment: Segment, task: Task) -> str | None:
    """Return the label or region that a segment is; None if it is neither."""
    if segment.key in task.labels:
        return segment.key
    region = segment.key.removeprefix("region.")
    if region in task.regions:
        return region
    structures = (*task.regions, *task.labels)  # of one title, the label counts
    titles = {name.casefold(): name for name in structures}
    titles |= {task.title_of(name).casefold(): name for name in structures}
    return titles.get(segment.title.strip().casefold()) or _coded(segment, task)


def _coded(segment: Segment, task: Task) -> str | None:
    """Return the label that has the codes of a segment, if there is one and no more."""
    codes = {
        name: tuple(code.rpartition("^")[0] for code in (label.code, label.modifier) if code)
        for name, label in task.labels.items()
    }
    if segment.code == _ANYTHING:
        return None
    fitting = [name for name, code in codes.items() if code == segment.code]
    return fitting[0] if len(fitting) == 1 else None


def _require_known(told: dict[Segment, str | None], task: Task, where: Path) -> None:
    unknown = [segment.title or segment.key for segment, name in told.items() if name is None]
    if unknown or not set(told.values()) & set(task.labels):
        raise DataError(
            f"holds segments that are no label of task {task.name}: {listed(unknown)}"
            if unknown
            else f"has segments, but no segment is a label of task {task.name}",
            where=where,
            remedy=f"Call the segments {', '.join(map(task.title_of, task.labels))}",
        )


def _require_told(layers: Voxels, segments: Sequence[Segment], where: Path) -> None:
    for place, layer in enumerate(layers):
        known = {0, *(segment.value for segment in segments if segment.layer == place)}
        untold = sorted(set(np.unique(layer).tolist()) - known)
        if untold:
            raise DataError(
                f"holds voxels of value {untold[0]:g} that no segment of its header stands for",
                where=where,
                remedy="Save it anew from 3D Slicer, or as NIfTI with the values of the task",
            )


def _paint(label_map: LabelMap, mask: np.ndarray, label: str, task: Task, where: Path) -> None:
    overlapping = np.count_nonzero(label_map[mask])
    if overlapping:
        raise DataError(
            f"{task.title_of(label)} overlaps another label in {overlapping} voxels",
            where=where,
            remedy="Labels exclude each other: give every voxel one, or make regions of them",
        )
    label_map[mask] = task.labels[label].value


def _require_union(
    label_map: LabelMap, mask: np.ndarray, region: str, task: Task, where: Path
) -> None:
    labels = task.labels_of(region)
    union = np.isin(label_map, [task.labels[label].value for label in labels])
    differing = np.count_nonzero(union != mask)
    if differing:
        named = ", ".join(map(task.title_of, labels))
        raise DataError(
            f"{task.title_of(region)} differs in {differing} voxels from its labels, {named}",
            where=where,
            remedy="Labels are what is scored: mend them, and leave the region out of the file",
        )
