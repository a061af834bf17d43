"""Prepared training cases on disk, read through the page cache: memory stays bounded.

A store holds three arrays per case: the image, the label indices, and the coordinates of labelled
voxels, from which patches are centred. Worker processes open the files by name, so that nothing
large is sent to them.
"""

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from jaxtyping import Integer, Shaped

from medseg import files
from medseg.data.cases import Case, read_image, read_labels
from medseg.data.preprocessing import prepare, prepare_labels
from medseg.recipe import Plan
from medseg.shapes import Image
from medseg.task import Task

CENTRES_PER_LABEL: Final = 10_000


@dataclass(frozen=True)
class StoredCase:
    """One prepared case; its arrays are memory-mapped when asked for."""

    name: str
    folder: Path

    @property
    def image(self) -> Image:
        """Normalised channels."""
        return self._open("image")

    @property
    def labels(self) -> Shaped[np.ndarray, "i j k"]:
        """Label indices; 0 is background."""
        return self._open("labels")

    @property
    def centres(self) -> list[Integer[np.ndarray, "voxels 3"]]:
        """For each label in the case, coordinates of at most 10,000 of its voxels."""
        rows = self._open("centres")
        return [rows[rows[:, 0] == label, 1:] for label in np.unique(rows[:, 0])]

    def _open(self, kind: str) -> Any:
        return np.load(self.folder / f"{self.name}.{kind}.npy", mmap_mode="r")


def build(
    folder: Path,
    cases: tuple[Case, ...],
    task: Task,
    plan: Plan,
    *,
    on_case: Callable[[str], None],
) -> list[StoredCase]:
    """Prepare every case that `folder` does not hold yet.

    A case is complete when its last file is there, so that a store whose making was interrupted
    is continued.

    Raises:
        ImageError: A scan cannot be used.
        DataError: A label map is missing or contradicts the task.
        OutputError: The disk is full.
    """
    files.make_folder(folder)
    stored = []
    for case in cases:
        entry = StoredCase(case.name, folder)
        if not (folder / f"{case.name}.centres.npy").is_file():
            _write(entry, case, task, plan)
        on_case(case.name)
        stored.append(entry)
    return stored


def _write(entry: StoredCase, case: Case, task: Task, plan: Plan) -> None:
    volume = read_image(case, task)
    label_map = read_labels(case, task, volume.grid)
    labels = prepare_labels(label_map, volume.grid, task, plan)
    arrays = {
        "image": prepare(volume, task, plan).image,
        "labels": labels,
        "centres": _centres(labels),
    }
    for kind, array in arrays.items():
        target = entry.folder / f"{entry.name}.{kind}.npy"
        buffer = io.BytesIO()
        np.save(buffer, array)
        files.write_bytes(target, buffer.getvalue())


def _centres(labels: Shaped[np.ndarray, "i j k"]) -> Integer[np.ndarray, "voxels 4"]:
    """Return rows of label, i, j, k, thinned evenly where a label has many voxels."""
    rows = []
    for label in np.unique(labels[labels > 0]):
        voxels = np.argwhere(labels == label)
        step = -(-len(voxels) // CENTRES_PER_LABEL)
        thinned = voxels[::step]
        rows.append(np.column_stack([np.full(len(thinned), label, dtype=np.int64), thinned]))
    return np.concatenate(rows) if rows else np.empty((0, 4), dtype=np.int64)
