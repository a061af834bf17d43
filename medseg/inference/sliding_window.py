"""A network applied patch by patch to an image of any size.

Patches overlap; where they do, logits are averaged, see `medseg.inference.blend_weight`. What is
finished is handed out slab by slab, so that the logits of a large image need not be held.

Source: Isensee et al. 2021, nnU-Net, https://doi.org/10.1038/s41592-020-01008-z, supplement.
"""

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Float32
from torch import Tensor
from torch.nn import functional

from medseg.data.preprocessing import ImageOnDemand
from medseg.inference.blend_weight import Blend
from medseg.inference.blending import HELD, Answer, Band, box, replaced
from medseg.shapes import Shape

Patches = Float32[Tensor, "batch channels i j k"]
Given = Float32[Tensor, "_ _ _ _"] | ImageOnDemand
Answers = Float[Tensor, "batch outputs i j k"]
Network = Callable[[Patches], Answers]


@dataclass(frozen=True)
class Tiling:
    """How an image is taken apart.

    Attributes:
        patch: Voxels along each axis.
        overlap: Part of a patch that its neighbour covers too, at least 0 and below 1.
        batch: Patches computed at once.
        mirror_axes: Axes (0, 1, 2) along which each patch is predicted mirrored too, in every
            combination; the logits are averaged.
        blend: How overlapping patches are averaged.
    """

    patch: Shape
    overlap: float = 0.5
    batch: int = 1
    mirror_axes: tuple[int, ...] = ()
    blend: Blend = "gaussian"


@dataclass(frozen=True, eq=False)
class Outside:
    """What is known to be background. Patches that hold nothing else are not computed.

    Attributes:
        mask: Voxels that are, on the grid of the image.
        logits: What every voxel of a patch that is not computed gets.
    """

    mask: Bool[Tensor, "i j k"]
    logits: Float32[Tensor, " outputs"]


def predict_logits(
    network: Network,
    image: Given,
    tiling: Tiling,
    *,
    device: torch.device | None = None,
    outside: Outside | None = None,
) -> Float32[Tensor, "outputs i j k"]:
    """Return the logits of every voxel; the arguments are those of `logit_slabs`."""
    passage = _Passage(image, tiling, axis=0, whole=True, device=device, outside=outside)
    for _ in passage.slabs(network):
        pass
    return passage.result()


def logit_slabs(
    network: Network,
    image: Given,
    tiling: Tiling,
    *,
    axis: int = 0,
    device: torch.device | None = None,
    outside: Outside | None = None,
) -> Iterator[Float32[Tensor, "outputs i j k"]]:
    """Yield the logits slab after slab along `axis`, each as soon as it is finished.

    A slab is valid until the next one is asked for. Held are the logits of as many planes as a
    patch has along `axis`, and those of `medseg.inference.blending.HELD` patches.

    Args:
        network: In evaluation mode.
        image: Normalised channels; smaller than the patch is padded with zeros.
        tiling: How it is taken apart.
        axis: 0, 1 or 2; the longest one needs the least memory.
        device: Where the network is, and the logits will be; by default, where the image is.
        outside: What is known to be background.
    """
    passage = _Passage(image, tiling, axis=axis, whole=False, device=device, outside=outside)
    return passage.slabs(network)


def patch_starts(
    extent: Shape, patch: Shape, overlap: float, blend: Blend = "gaussian"
) -> tuple[list[int], ...]:
    """Return the first voxels of the patches along each axis; together they cover `extent`.

    Along each axis the patches are as few as `overlap` allows and evenly spaced. `extent` is at
    least `patch`. For models of nnU-Net they are where nnU-Net has them: it lets patches lie a part
    of a voxel further apart before it rounds.
    """
    starts = _starts_of_nnunet if blend == "nnunet" else _starts
    i, j, k = (starts(length, size, overlap) for length, size in zip(extent, patch, strict=True))
    return (i, j, k)


def _starts(length: int, size: int, overlap: float) -> list[int]:
    gaps = math.ceil((length - size) / step(size, overlap))
    return [round((length - size) * n / gaps) for n in range(gaps + 1)] if gaps else [0]


def _starts_of_nnunet(length: int, size: int, overlap: float) -> list[int]:
    """Return them without those that nnU-Net repeats, where its step is below a voxel."""
    part = round(1 - overlap, 9)  # the number that a user would give to nnU-Net
    gaps = math.ceil((length - size) / (size * part))
    apart = (length - size) / gaps if gaps else 0.0
    return sorted({round(apart * n) for n in range(gaps + 1)})


def step(size: int, overlap: float) -> int:
    """Return how far apart neighbouring patches of `size` voxels are at most."""
    return max(1, math.floor(size * (1 - overlap) + 1e-9))  # 10 * (1 - 0.8) is below 2


def mirrored(network: Network, axes: Sequence[int]) -> Network:
    """Return a network that averages its logits over all ways of mirroring along `axes`."""
    if not axes:
        return network
    several = range(1, len(axes) + 1)
    flips = [chosen for count in several for chosen in itertools.combinations(axes, count)]

    def predict(patches: Patches) -> Answers:
        total = network(patches).float()
        for flip in flips:
            places = [2 + axis for axis in flip]
            total = total + network(patches.flip(places)).flip(places)
        return total / (len(flips) + 1)

    return predict


class _Passage:
    """The way through one image."""

    def __init__(
        self,
        image: Given,
        tiling: Tiling,
        *,
        axis: int,
        whole: bool,
        device: torch.device | None,
        outside: Outside | None,
    ) -> None:
        patch = tiling.patch
        self._image, self._inner = _padded(image, patch)
        self._extent: Shape = (self._image.shape[1], self._image.shape[2], self._image.shape[3])
        self._tiling, self._axis, self._outside = tiling, axis, outside
        self._device = image.device if device is None else device
        self._axes = patch_starts(self._extent, patch, tiling.overlap, tiling.blend)
        self._depth = self._extent[axis] if whole else patch[axis]
        self._left_out = _left_out(self._axes, patch, outside, self._extent, self._inner)
        self._band = Band(
            self._extent,
            self._axes,
            patch,
            tiling.blend,
            axis=axis,
            depth=self._depth,
            device=self._device,
        )

    def slabs(self, network: Network) -> Iterator[Float32[Tensor, "outputs i j k"]]:
        """Compute all patches, and yield what is finished."""
        predict = mirrored(network, self._tiling.mirror_axes)
        begins = self._axes[self._axis]
        for start, stop in zip(begins, [*begins[1:], self._extent[self._axis]], strict=True):
            for answers in self._answers(predict, start):
                self._band.add(answers)
            for planes, ring in self._band.planes(start, stop):
                yield from self._finished(planes, ring)

    def result(self) -> Float32[Tensor, "outputs i j k"]:
        """Return all logits, when all patches have been computed in a band of all planes."""
        return self._total()[(slice(None), *self._inner)]

    def _total(self) -> Tensor:
        outputs = 0 if self._outside is None else len(self._outside.logits)
        return self._band.total(outputs)

    def _answers(self, predict: Network, start: int) -> Iterator[list[Answer]]:
        """Yield the logits of the patches that begin at `start`, in groups along k."""
        places = [
            (i, j, k)
            for i, j, k in itertools.product(*replaced(self._axes, self._axis, [start]))
            if (i, j, k) not in self._left_out
        ]
        held: list[Answer] = []
        for first in range(0, len(places), self._tiling.batch):
            for answer in self._computed(predict, places[first : first + self._tiling.batch]):
                if len(held) == HELD or (held and held[0].start[:2] != answer.start[:2]):
                    yield held
                    held = []
                held.append(answer)
        if held:
            yield held

    def _computed(self, predict: Network, places: list[Shape]) -> list[Answer]:
        boxes = [(slice(None), *box(place, self._tiling.patch)) for place in places]
        with torch.inference_mode():
            several = [self._image[place] for place in boxes]
            patches = torch.stack(several) if len(several) > 1 else several[0][None]
            patches = patches.to(self._device)
            logits = predict(patches)
        return [Answer(place, part) for place, part in zip(places, logits, strict=True)]

    def _finished(self, planes: slice, ring: slice) -> Iterator[Float32[Tensor, "outputs i j k"]]:
        """Yield some planes of the band without what was padded, then make them empty."""
        total = self._total().narrow(1 + self._axis, ring.start, ring.stop - ring.start)
        self._band.finish(planes, ring)
        self._fill(total, planes)
        inner = self._inner[self._axis]
        first, last = max(planes.start, inner.start), min(planes.stop, inner.stop)
        if first < last:
            kept = slice(first - planes.start, last - planes.start)
            yield total[(slice(None), *replaced(self._inner, self._axis, kept))]
        if self._depth < self._extent[self._axis]:
            total.zero_()

    def _fill(self, total: Tensor, planes: slice) -> None:
        """Make background of the patches that were left out."""
        if self._outside is None:
            return
        logits = self._outside.logits.to(total.device)[:, None, None, None]
        for start in self._left_out:
            place = box(start, self._tiling.patch)
            along = place[self._axis]
            first, last = max(along.start, planes.start), min(along.stop, planes.stop)
            if first < last:
                kept = slice(first - planes.start, last - planes.start)
                total[(slice(None), *replaced(place, self._axis, kept))] = logits


def _left_out(
    axes: tuple[list[int], ...],
    patch: Shape,
    outside: Outside | None,
    extent: Shape,
    inner: tuple[slice, slice, slice],
) -> set[Shape]:
    """Return the patches that hold nothing but background."""
    if outside is None:
        return set()
    inside = torch.zeros(extent, dtype=torch.bool, device=outside.mask.device)
    inside[inner] = ~outside.mask
    starts = itertools.product(*axes)
    return {(i, j, k) for i, j, k in starts if not inside[box((i, j, k), patch)].any()}


def _padded(image: Given, patch: Shape) -> tuple[Given, tuple[slice, slice, slice]]:
    """Pad `image` evenly to at least `patch`, and say where it lies in the result."""
    missing = [max(0, size - length) for size, length in zip(patch, image.shape[1:], strict=True)]
    before = [total // 2 for total in missing]
    padding = [
        amount
        for first, total in zip(reversed(before), reversed(missing), strict=True)
        for amount in (first, total - first)
    ]
    i, j, k = (
        slice(first, first + length) for first, length in zip(before, image.shape[1:], strict=True)
    )
    if not any(missing):
        return image, (i, j, k)
    whole = image if isinstance(image, Tensor) else image[(slice(None),) * 4]
    return functional.pad(whole, padding), (i, j, k)
