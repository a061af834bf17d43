"""Where overlapping patches meet: their logits, weighted, added up and divided by the weights.

On the processor compiled loops do it; elsewhere torch does it.
"""

import functools
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeVar

import numpy as np
import torch
from jaxtyping import Float, Float32, Shaped
from torch import Tensor

from medseg.blocks.selective_scan import import_error
from medseg.blocks.selective_scan.cpu import threads
from medseg.inference.blend_weight import Blend, along, weight
from medseg.shapes import Box, Shape

HELD: Final = 4
"""Patches whose logits wait to be added up together."""

Value = TypeVar("Value")


def box(start: Shape, size: Shape) -> Box:
    """Return the part of a volume that begins at `start`."""
    i, j, k = (slice(first, first + length) for first, length in zip(start, size, strict=True))
    return (i, j, k)


def replaced(values: Sequence[Value], axis: int, value: Value) -> tuple[Value, Value, Value]:
    """Return three values with another one for `axis`."""
    i, j, k = (value if n == axis else old for n, old in enumerate(values))
    return (i, j, k)


@dataclass(frozen=True, eq=False)
class Answer:
    """A network's logits of one patch, and where it begins in the image."""

    start: Shape
    logits: Float[Tensor, "outputs i j k"]


@dataclass(frozen=True)
class _Part:
    """Some planes of the patches.

    Attributes:
        within: Their first voxel in a patch.
        size: Voxels along each axis.
        targets: For each patch, their first voxel in the sums.
    """

    within: Shape
    size: Shape
    targets: list[Shape]


def is_compiled(device: torch.device) -> bool:
    """Whether the compiled loops do it: on the processor, if numba is of use.

    Where torch does it, weights of as many planes as a patch has are held twice beside the sums.
    """
    return device.type == "cpu" and import_error("medseg.inference.blending_loop") is None


class Band:
    """The mean of patches: a ring of planes along one axis.

    Planes are sums until they are finished.

    Args:
        extent: Voxels of the image.
        axes: The first voxels of the patches along each axis.
        patch: Voxels of a patch.
        blend: How much each of them counts.
        axis: Along which the planes lie.
        depth: Planes that are held: at least the patch's, at most the image's.
        device: Where the logits are.
    """

    def __init__(
        self,
        extent: Shape,
        axes: Sequence[list[int]],
        patch: Shape,
        blend: Blend = "gaussian",
        *,
        axis: int,
        depth: int,
        device: torch.device,
    ) -> None:
        self._patch, self._blend, self._axes = patch, blend, axes
        self._axis, self._depth, self._device = axis, depth, device
        self._extent, self._shape = extent, replaced(extent, axis, depth)
        self._total: Tensor | None = None

    def add(self, answers: Sequence[Answer]) -> None:
        """Add patches.

        Args:
            answers: From 1 to `HELD`, which differ in their place along k alone.
        """
        total = self.total(len(answers[0].logits))
        size = self._patch[self._axis]
        first = answers[0].start[self._axis] % self._depth
        before = min(size, self._depth - first)  # the planes up to the end of the ring
        act = self._add_compiled if is_compiled(total.device) else self._add
        act(total, answers, self._part(answers, 0, before, into=first))
        if before < size:
            act(total, answers, self._part(answers, before, size, into=0))

    def finish(self, planes: slice, ring: slice) -> None:
        """Make the mean of sums, when all patches have been added.

        Args:
            planes: Of the image; see `planes`.
            ring: Where they lie.
        """
        total = self.total(0)
        act = self._divide_compiled if is_compiled(total.device) else self._divide
        act(total, planes, ring)

    def total(self, outputs: int) -> Float32[Tensor, "outputs i j k"]:
        """Return what is held, which is zero where nothing was added.

        Args:
            outputs: How many there are, if nothing was held yet.
        """
        if self._total is None:
            self._total = _zeros((outputs, *self._shape), self._device)
        return self._total

    def planes(self, start: int, stop: int) -> list[tuple[slice, slice]]:
        """Return where planes of the image lie in the ring: pieces of either."""
        pieces = []
        while start < stop:
            place = start % self._depth
            length = min(stop - start, self._depth - place)
            pieces.append((slice(start, start + length), slice(place, place + length)))
            start += length
        return pieces

    def _part(self, answers: Sequence[Answer], first: int, last: int, *, into: int) -> _Part:
        """Return the planes from `first` to `last` of the patches, which go to plane `into`."""
        return _Part(
            within=replaced((0, 0, 0), self._axis, first),
            size=replaced(self._patch, self._axis, last - first),
            targets=[replaced(answer.start, self._axis, into) for answer in answers],
        )

    def _add(self, total: Tensor, answers: Sequence[Answer], part: _Part) -> None:
        within = box(part.within, part.size)
        counts = self._weight[within]
        for answer, target in zip(answers, part.targets, strict=True):
            into = total[(slice(None), *box(target, part.size))]
            into.addcmul_(answer.logits[(slice(None), *within)].float(), counts)

    def _divide(self, total: Tensor, planes: slice, ring: slice) -> None:
        size = self._patch[self._axis]
        length = planes.stop - planes.start
        weights = torch.zeros(replaced(self._extent, self._axis, length), device=self._device)
        for start in self._axes[self._axis]:
            first, last = max(start, planes.start), min(start + size, planes.stop)
            if first < last:
                into = weights.narrow(self._axis, first - planes.start, last - first)
                into += self._row.narrow(self._axis, first - start, last - first)
        total.narrow(1 + self._axis, ring.start, length).div_(weights)

    @functools.cached_property
    def _weight(self) -> Tensor:
        return weight(self._patch, self._blend).to(self._device)

    @functools.cached_property
    def _row(self) -> Tensor:
        """The weights of all patches that begin at one plane, added up."""
        length = self._patch[self._axis]
        row = torch.zeros(replaced(self._extent, self._axis, length), device=self._device)
        for i, j, k in itertools.product(*replaced(self._axes, self._axis, [0])):
            row[box((i, j, k), self._patch)] += self._weight
        return row

    def _add_compiled(self, total: Tensor, answers: Sequence[Answer], part: _Part) -> None:
        from medseg.inference import blending_loop
        from medseg.inference.blending_rows import rows

        given = [_numbers(answer.logits.contiguous()) for answer in answers]
        held = tuple(given[min(n, len(given) - 1)] for n in range(HELD))
        i, j, k = part.targets[0]
        starts = tuple(target[2] - part.within[2] for target in part.targets)
        stop = part.targets[-1][2] + part.size[2]
        how = rows(starts, self._patch[2], self._blend, k, stop)
        counts = [along(size, self._blend).float().numpy() for size in self._patch[:2]]
        patches = (held, np.array(self._patch), *counts, how)
        places = (np.array((i, j, k)), np.array(part.within), np.array(part.size))
        job = partial(blending_loop.add, *_with_extent(total), *patches, *places)
        _in_threads(job, part.size[0])

    def _divide_compiled(self, total: Tensor, planes: slice, ring: slice) -> None:
        from medseg.inference import blending_loop
        from medseg.inference.blending_rows import across, rows

        whole = [slice(0, length) for length in self._extent]
        i, j, k = replaced(whole, self._axis, planes)
        counts = [
            across(self._axes[n], self._patch[n], self._blend, along_n.start, along_n.stop)
            for n, along_n in enumerate((i, j))
        ]
        how = rows(tuple(self._axes[2]), self._patch[2], self._blend, k.start, k.stop)
        into = np.array(replaced((0, 0, 0), self._axis, ring.start))
        job = partial(blending_loop.divide, *_with_extent(total), *counts, how, into)
        _in_threads(job, i.stop - i.start)


def _in_threads(job: Callable[[int, int], None], planes: int) -> None:
    """Do some planes at a time, from the first to the one before the last."""
    workers = torch.get_num_threads()
    pieces = min(planes, 8 * workers)  # more than workers: one may have less time
    bounds = [planes * n // pieces for n in range(pieces + 1)]
    threads.run([partial(job, *pair) for pair in itertools.pairwise(bounds)], workers)


def _zeros(shape: tuple[int, ...], device: torch.device) -> Tensor:
    """Return zeros; NumPy asks for large pages, of which fewer must be fetched than of torch's."""
    if device.type == "cpu":
        return torch.from_numpy(np.zeros(shape, np.float32))
    return torch.zeros(shape, device=device)


def _with_extent(total: Tensor) -> tuple[np.ndarray, np.ndarray]:
    return _numbers(total), np.array(total.shape)


def _numbers(values: Tensor) -> Shaped[np.ndarray, " values"]:
    """Return all values in a row, those of bfloat16 as bits, which NumPy does not have."""
    if values.dtype == torch.bfloat16:
        return values.view(-1).view(torch.int16).numpy()
    return values.float().view(-1).numpy()
