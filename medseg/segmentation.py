"""A segmentation: what was found, where it lies, and what it means."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Shaped

from medseg.shapes import LabelMap
from medseg.task import Task
from medseg.volume import Grid, nearest


@dataclass(frozen=True, eq=False)
class Segmentation:
    """A label map on its grid, with the task that names its labels.

    Raises:
        ValueError: The label map does not fill the grid, or holds a value the task lacks.
    """

    label_map: LabelMap
    grid: Grid
    task: Task

    def __post_init__(self) -> None:
        if self.label_map.shape != self.grid.shape:
            raise ValueError(
                f"a label map of {self.label_map.shape} does not fill a grid of {self.grid.shape}"
            )
        known = {0} | {label.value for label in self.task.labels.values()}
        unknown = _values(self.label_map) - known
        if unknown:
            raise ValueError(
                f"values {sorted(unknown)} are no labels of task {self.task.name};"
                f" known are {sorted(known)}"
            )

    def volume_ml(self, label: str) -> float:
        """Measure the volume of `label` in millilitres; an absent label has 0."""
        value = self.task.labels[label].value
        return float((self.label_map == value).sum()) * self.grid.voxel_ml

    def with_values_of(self, task: Task) -> "Segmentation":
        """Return the segmentation in the values that `task` gives the same labels.

        Raises:
            ValueError: `task` lacks one of the labels.
        """
        lacking = [name for name in self.task.labels if name not in task.labels]
        if lacking:
            raise ValueError(f"task {task.name} lacks the labels {lacking}")
        label_map = np.zeros(self.label_map.shape, label_map_dtype(task))
        for name, label in self.task.labels.items():
            label_map[self.label_map == label.value] = task.labels[name].value
        return Segmentation(label_map, self.grid, task)

    def on(self, grid: Grid) -> "Segmentation":
        """Return the segmentation on another grid: each voxel takes the nearest label."""
        return Segmentation(nearest(self.label_map, self.grid, grid), grid, self.task)


@dataclass(frozen=True)
class FileValues:
    """Values of a label map on disk that stand for another value of the task.

    Attributes:
        changed: Pairs of a value in the file and the task's value, 0 for background.
        others_are_background: Whether every further value that the task lacks counts as
            background; else it is an error.
    """

    changed: tuple[tuple[int, int], ...] = ()
    others_are_background: bool = False

    def applied(
        self, voxels: Shaped[np.ndarray, "i j k"], task: Task
    ) -> Shaped[np.ndarray, "i j k"]:
        """Return `voxels` with the task's values; those that are not listed stay as they are."""
        result = voxels.copy()
        for there, here in self.changed:
            result[voxels == there] = here
        if self.others_are_background:
            listed = [there for there, _ in self.changed]
            known = [label.value for label in task.labels.values()]
            result[~np.isin(voxels, [*listed, *known])] = 0
        return result


def _values(label_map: LabelMap) -> set[int]:
    """Return the values that occur, plane by plane: sorting them all would take a second map."""
    found: set[int] = set()
    for plane in np.moveaxis(label_map, int(np.argmax(label_map.strides)), 0):
        found.update(np.unique(plane).tolist())
    return found


def label_map_dtype(task: Task) -> type[np.uint8] | type[np.uint16]:
    """Return the smallest unsigned type that holds every label value of `task`."""
    return np.uint8 if max(label.value for label in task.labels.values()) < 256 else np.uint16
