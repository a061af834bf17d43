"""A segmentation: what was found, where it lies, and what it means."""

from dataclasses import dataclass

import numpy as np

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
        unknown = set(np.unique(self.label_map).tolist()) - known
        if unknown:
            raise ValueError(
                f"values {sorted(unknown)} are no labels of task {self.task.name};"
                f" known are {sorted(known)}"
            )

    def volume_ml(self, label: str) -> float:
        """Measure the volume of `label` in millilitres; an absent label has 0."""
        value = self.task.labels[label].value
        return float((self.label_map == value).sum()) * self.grid.voxel_ml

    def on(self, grid: Grid) -> "Segmentation":
        """Return the segmentation on another grid: each voxel takes the nearest label."""
        return Segmentation(nearest(self.label_map, self.grid, grid), grid, self.task)


def label_map_dtype(task: Task) -> type[np.uint8] | type[np.uint16]:
    """Return the smallest unsigned type that holds every label value of `task`."""
    return np.uint8 if max(label.value for label in task.labels.values()) < 256 else np.uint16
