"""A scan made ready for a network, and a network's answer brought back onto the scan's grid.

Training and inference share these functions, so that they cannot drift apart. The way back
undoes the way in exactly: axes in their order and direction, and the number of voxels.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Shaped

from medseg.data import resampling
from medseg.data.intensity import normalise
from medseg.recipe import Plan
from medseg.regions import decode_logits, entropy
from medseg.segmentation import Segmentation, label_map_dtype
from medseg.shapes import Image, LabelMap, Scores, Shape
from medseg.task import Task
from medseg.volume import AxisOrder, Grid, Volume, inverse, order_to_ras, reorder, resampled_grid
from medseg.volume import to_ras as volume_to_ras

Box = tuple[slice, slice, slice]
"""A part of a volume."""


@dataclass(frozen=True, eq=False)
class Prepared:
    """A scan as a network sees it.

    Attributes:
        image: Normalised channels, axes nearest to RAS+, voxels of the plan's size.
        original: The grid of the scan.
        order: How its axes became those of the image, RAS+ unless a model has them otherwise.
        ras_shape: Its shape after that, before resampling.
        box: The part of it that was resampled; outside is background. Absent: all of it.
        nearest_axis: Along which (0, 1 or 2) the way back takes the nearest plane.
    """

    image: Image
    original: Grid
    order: AxisOrder
    ras_shape: Shape
    box: Box | None = None
    nearest_axis: int | None = None

    def slabs(self, logits: Scores) -> Iterator[Scores]:
        """Yield logits on the scan's grid, in the box, slab by slab."""
        shape = self.ras_shape if self.box is None else _shape_of(self.box)
        return resampling.slabs(logits, shape, nearest_axis=self.nearest_axis)

    def as_scanned(self, parts: list[Shaped[np.ndarray, "_ _ _"]]) -> Shaped[np.ndarray, "i j k"]:
        """Put slabs together and into the scan; what was not prepared is zero."""
        whole = np.concatenate(parts)
        if self.box is not None:
            inside, whole = whole, np.zeros(self.ras_shape, whole.dtype)
            whole[self.box] = inside
        return np.ascontiguousarray(reorder(whole[None], inverse(self.order))[0])


def prepare(volume: Volume, task: Task, plan: Plan) -> Prepared:
    """Orient, normalise and resample a scan."""
    upright = volume_to_ras(volume)
    image = normalise(np.ascontiguousarray(upright.voxels), task, plan.windows)
    shape = resampled_grid(upright.grid, plan.spacing_mm).shape
    return Prepared(
        image=resampling.resample(image, shape),
        original=volume.grid,
        order=order_to_ras(volume.affine),
        ras_shape=upright.grid.shape,
    )


def prepare_labels(
    label_map: LabelMap, grid: Grid, task: Task, plan: Plan
) -> Shaped[np.ndarray, "a b c"]:
    """Orient and resample a label map like its scan; returns label indices.

    Index 0 is background and index n is the n-th label of the task. A voxel gets the label that
    fills most of its surroundings (the mask of each label is resampled and the largest taken),
    which keeps borders smoother than taking the nearest voxel. Of equals, background loses, so
    that a thin structure is kept.
    """
    upright = volume_to_ras(Volume(label_map[None], grid))
    values = [*(label.value for label in task.labels.values()), 0]
    indices = np.array([*range(1, len(values)), 0], dtype=label_map_dtype(task))
    shape = resampled_grid(upright.grid, plan.spacing_mm).shape
    masks = np.stack([upright.voxels[0] == value for value in values])
    if masks.shape[1:] == shape:
        return indices[masks.argmax(axis=0)]
    parts = resampling.slabs(masks.astype(np.float32), shape)
    return np.concatenate([indices[part.argmax(axis=0)] for part in parts])


@dataclass(frozen=True, eq=False)
class Measured:
    """A segmentation, and how sure the network was of it.

    Attributes:
        segmentation: On the grid of the scan.
        mean_entropy: Of the voxels of each label that was found; from 0, certain, to 1.
        entropy: Of every voxel of the scan, if it was asked for.
    """

    segmentation: Segmentation
    mean_entropy: dict[str, float]
    entropy: Float32[np.ndarray, "i j k"] | None


def restore(logits: Scores, prepared: Prepared, task: Task) -> Segmentation:
    """Bring logits back onto the grid of the scan and decide on a label for every voxel.

    Logits are resampled and decided slab by slab: the full-size logits never exist.
    """
    parts = [decode_logits(part, task) for part in prepared.slabs(logits)]
    return Segmentation(prepared.as_scanned(parts), prepared.original, task)


def restore_measured(
    logits: Scores, prepared: Prepared, task: Task, *, keep_entropy: bool
) -> Measured:
    """Do as `restore` does, and measure the entropy on the way, slab by slab."""
    highest = max(label.value for label in task.labels.values())
    sums, counts = np.zeros(highest + 1), np.zeros(highest + 1)
    labels, entropies = [], []
    for part in prepared.slabs(logits):
        decided, unsure = decode_logits(part, task), entropy(part, task)
        values = decided.reshape(-1)
        sums += np.bincount(values, weights=unsure.reshape(-1), minlength=highest + 1)
        counts += np.bincount(values, minlength=highest + 1)
        labels.append(decided)
        entropies += [unsure] if keep_entropy else []
    means = {
        name: float(sums[label.value] / counts[label.value])
        for name, label in task.labels.items()
        if counts[label.value]
    }
    return Measured(
        Segmentation(prepared.as_scanned(labels), prepared.original, task),
        means,
        prepared.as_scanned(entropies) if keep_entropy else None,
    )


def _shape_of(box: Box) -> Shape:
    i, j, k = (part.stop - part.start for part in box)
    return (i, j, k)
