"""A scan made ready for a network, and a network's answer brought back onto the scan's grid.

Training and inference share these functions, so that they cannot drift apart. The way back
undoes the way in exactly: axes in their order and direction, and the number of voxels.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from jaxtyping import Float, Float32, Shaped
from torch import Tensor

from medseg.data import resampling
from medseg.data.intensity import normalised_pieces, normaliser
from medseg.recipe import Plan
from medseg.regions import decode_logits, entropy
from medseg.segmentation import Segmentation, label_map_dtype
from medseg.shapes import Box, Image, LabelMap, Scores, Shape, Voxels
from medseg.task import Task
from medseg.volume import AxisOrder, Grid, Volume, order_to_ras, reorder, resampled_grid
from medseg.volume import to_ras as volume_to_ras

LARGE: Final = 1 << 26
"""Voxels, of all channels together; fewer are prepared at once, which takes less time."""

Logits = Float[np.ndarray, "outputs _ _ _"]
"""A piece of a network's logits, float32 or float16."""


@dataclass(frozen=True, eq=False)
class ImageOnDemand:
    """An image of which the parts that are asked for are made ready, from the voxels of its scan.

    It saves a copy of a large scan in float32. What overlaps is made ready more than once, which
    is little beside what a network does with it.

    Attributes:
        voxels: Of the scan, with the axes of the image.
        normalise: Brings a part of them to its scale.
    """

    voxels: Voxels
    normalise: Callable[[Voxels], Image]

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Channels, and voxels along each axis."""
        channels, i, j, k = self.voxels.shape
        return (channels, i, j, k)

    @property
    def device(self) -> torch.device:
        """Where its parts are."""
        return torch.device("cpu")

    def __getitem__(self, place: tuple[slice, ...]) -> Float32[Tensor, "channels a b c"]:
        """Return a part, given by a slice of channels and one of each axis."""
        return torch.from_numpy(self.normalise(self.voxels[place]))


@dataclass(frozen=True)
class Part:
    """A part of a prepared image.

    Attributes:
        place: Where it lies in the whole image.
        whole: Voxels of the whole image along each axis.
    """

    place: Box
    whole: Shape


@dataclass(frozen=True, eq=False)
class Prepared:
    """A scan as a network sees it.

    Attributes:
        image: Normalised channels, axes nearest to RAS+, voxels of the plan's size; on demand if
            it was prepared so and is large.
        original: The grid of the scan.
        order: How its axes became those of the image: RAS+, unless a model has them otherwise.
        ras_shape: Its shape after that, before resampling.
        box: The part of it that was resampled, outside is background; absent: all of it.
        nearest_axis: Along which (0, 1 or 2) the way back takes the nearest plane.
        part: What the image is a part of; absent: it is whole. Outside is background.
    """

    image: Image | ImageOnDemand
    original: Grid
    order: AxisOrder
    ras_shape: Shape
    box: Box | None = None
    nearest_axis: int | None = None
    part: Part | None = None

    @property
    def whole(self) -> Image:
        """The image, all of it made ready."""
        image = self.image
        return image if isinstance(image, np.ndarray) else image[(slice(None),) * 4].numpy()


def prepare(volume: Volume, task: Task, plan: Plan, place: Box | None = None) -> Prepared:
    """Orient, normalise and resample a scan, piece by piece: nothing but the result is held.

    Args:
        volume: The scan.
        task: Names its channels.
        plan: How the model sees it.
        place: The part of the image that is wanted, else all. It is the same as that part of all.
    """
    upright = volume_to_ras(volume)
    whole = resampled_grid(upright.grid, plan.spacing_mm).shape
    wanted = _all(whole) if place is None else place
    source, cut = resampling.cut_for(wanted, upright.grid.shape, whole)
    pieces = normalised_pieces(upright.voxels, task, plan.windows, source)
    shape = resampling.sizes(wanted)
    resampled = resampling.slabs(pieces, resampling.sizes(source)[0], shape, cut=cut)
    image = resampling.joined(resampled, len(upright.voxels), shape)
    return _prepared(image, volume, place, whole)


def prepare_on_demand(volume: Volume, task: Task, plan: Plan, place: Box | None = None) -> Prepared:
    """Do as `prepare` does, but leave a large image that need not be resampled where it is."""
    upright = volume_to_ras(volume)
    if not is_on_demand(upright.grid, len(upright.voxels), plan):
        return prepare(volume, task, plan, place)
    whole = upright.grid.shape
    voxels = upright.voxels[(slice(None), *(place or _all(whole)))]
    image = ImageOnDemand(voxels, normaliser(upright.voxels, task, plan.windows))
    return _prepared(image, volume, place, whole)


def _prepared(
    image: Image | ImageOnDemand, volume: Volume, place: Box | None, whole: Shape
) -> Prepared:
    order = order_to_ras(volume.affine)
    part = None if place is None else Part(place, whole)
    ras_shape = volume_to_ras(volume).grid.shape
    return Prepared(image, volume.grid, order, ras_shape, part=part)


def _all(shape: Shape) -> Box:
    i, j, k = (slice(0, length) for length in shape)
    return (i, j, k)


def is_on_demand(upright: Grid, channels: int, plan: Plan) -> bool:
    """Tell whether an image on an upright grid is large and need not be resampled."""
    large = math.prod(upright.shape) * channels >= LARGE
    return large and resampled_grid(upright, plan.spacing_mm).shape == upright.shape


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
    parts = resampling.slabs([masks.astype(np.float32)], masks.shape[1], shape)
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


def restore(
    pieces: Iterable[Logits], prepared: Prepared, task: Task, *, axis: int = 0
) -> Segmentation:
    """Bring logits back onto the grid of the scan and decide on a label for every voxel.

    Neither the logits of the whole image nor those on the scan's grid ever exist: what arrives is
    resampled and decided at once, but for the last plane, which waits for the next piece.

    Args:
        pieces: The logits on the grid of the prepared image, piece after piece along `axis`; `[x]`
            where they are in one. A piece may be overwritten once the next one is asked for.
        prepared: The scan they are of.
        task: What the outputs mean.
        axis: The axis of the prepared image along which the pieces follow one another.

    Raises:
        ValueError: The pieces do not fill the image.
    """
    label_map = np.zeros(prepared.original.shape, label_map_dtype(task))
    target = _upright(label_map, prepared, axis)
    for place, part in _on_scan(pieces, prepared, axis):
        target[place] = decode_logits(part, task)
    return Segmentation(label_map, prepared.original, task)


def restore_measured(
    pieces: Iterable[Logits],
    prepared: Prepared,
    task: Task,
    *,
    axis: int = 0,
    keep_entropy: bool,
) -> Measured:
    """Do as `restore` does, and measure the entropy on the way."""
    highest = max(label.value for label in task.labels.values())
    sums, counts = np.zeros(highest + 1), np.zeros(highest + 1)
    label_map = np.zeros(prepared.original.shape, label_map_dtype(task))
    kept = np.zeros(prepared.original.shape, np.float32) if keep_entropy else None
    target = _upright(label_map, prepared, axis)
    for place, part in _on_scan(pieces, prepared, axis):
        decided, unsure = decode_logits(part, task), entropy(part, task)
        values = decided.reshape(-1)
        sums += np.bincount(values, weights=unsure.reshape(-1), minlength=highest + 1)
        counts += np.bincount(values, minlength=highest + 1)
        target[place] = decided
        if kept is not None:
            _upright(kept, prepared, axis)[place] = unsure
    means = {
        name: float(sums[label.value] / counts[label.value])
        for name, label in task.labels.items()
        if counts[label.value]
    }
    return Measured(Segmentation(label_map, prepared.original, task), means, kept)


def _on_scan(
    pieces: Iterable[Logits], prepared: Prepared, axis: int
) -> Iterator[tuple[slice, Scores]]:
    """Yield logits on the upright grid of the scan, `axis` first, and which planes they are of."""
    place, cut = _way_back(prepared)
    axes = [axis, *(other for other in range(3) if other != axis)]
    i, j, k = (resampling.sizes(place)[other] for other in axes)
    length, nearest = prepared.image.shape[1 + axis], prepared.nearest_axis
    nearest = None if nearest is None else axes.index(nearest)
    cut = cut and cut.ordered(axes)
    first = (np.moveaxis(piece, 1 + axis, 1) for piece in pieces)
    start = 0
    for part in resampling.slabs(first, length, (i, j, k), nearest=nearest, cut=cut):
        yield slice(start, start + part.shape[1]), part
        start += part.shape[1]


def _upright(
    voxels: Shaped[np.ndarray, "i j k"], prepared: Prepared, axis: int
) -> Shaped[np.ndarray, "a b c"]:
    """Return a view of what was prepared of the scan: the axes of the image, `axis` first."""
    place, _ = _way_back(prepared)
    return np.moveaxis(reorder(voxels[None], prepared.order)[0][place], axis, 0)


def _way_back(prepared: Prepared) -> tuple[Box, resampling.Cut | None]:
    """Return the part of the upright scan that the image is enough for, and how it is made."""
    inside, part = prepared.box or _all(prepared.ras_shape), prepared.part
    if part is None:
        return inside, None
    shape, nearest = resampling.sizes(inside), prepared.nearest_axis
    i, j, k = (
        resampling.complete(part.place[n], part.whole[n], shape[n], nearest=n == nearest)
        for n in range(3)
    )
    made = (i, j, k)
    cut = resampling.Cut(part.whole, shape, resampling.firsts(part.place), resampling.firsts(made))
    i, j, k = (
        slice(outer.start + inner.start, outer.start + inner.stop)
        for outer, inner in zip(inside, made, strict=True)
    )
    return (i, j, k), cut
