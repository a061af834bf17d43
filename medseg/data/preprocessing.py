"""A scan made ready for a network, and a network's answer brought back onto the scan's grid.

Training and inference share these functions, so that they cannot drift apart. The way back
undoes the way in exactly: axes in their order and direction, and the number of voxels.
"""

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


@dataclass(frozen=True, eq=False)
class Prepared:
    """A scan as a network sees it.

    Attributes:
        image: Normalised channels, axes nearest to RAS+, voxels of the plan's size.
        original: The grid of the scan.
        order: How its axes became RAS+.
        ras_shape: Its shape after that, before resampling.
    """

    image: Image
    original: Grid
    order: AxisOrder
    ras_shape: Shape


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
    parts = resampling.slabs(logits, prepared.ras_shape)
    upright = np.concatenate([decode_logits(part, task) for part in parts])
    return Segmentation(_as_scanned(upright, prepared), prepared.original, task)


def restore_measured(
    logits: Scores, prepared: Prepared, task: Task, *, keep_entropy: bool
) -> Measured:
    """Do as `restore` does, and measure the entropy on the way, slab by slab."""
    highest = max(label.value for label in task.labels.values())
    sums, counts = np.zeros(highest + 1), np.zeros(highest + 1)
    labels, entropies = [], []
    for part in resampling.slabs(logits, prepared.ras_shape):
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
    label_map = _as_scanned(np.concatenate(labels), prepared)
    return Measured(
        Segmentation(label_map, prepared.original, task),
        means,
        _as_scanned(np.concatenate(entropies), prepared) if keep_entropy else None,
    )


def _as_scanned(
    upright: Shaped[np.ndarray, "a b c"], prepared: Prepared
) -> Shaped[np.ndarray, "i j k"]:
    return np.ascontiguousarray(reorder(upright[None], inverse(prepared.order))[0])
