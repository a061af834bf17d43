"""Where overlapping patches meet: their logits, weighted and added up.

On the processor a compiled loop does it. It adds several patches while the sums lie in the cache,
since the time goes into memory and not into arithmetic; elsewhere torch does it.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeVar

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor

from medseg.blocks.selective_scan import import_error
from medseg.blocks.selective_scan.cpu import threads
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
        shares: The same in the shares.
    """

    within: Shape
    size: Shape
    targets: list[Shape]
    shares: list[Shape]


class Band:
    """The weighted sums of patches: a ring of planes along one axis.

    Args:
        extent: Voxels of the image.
        axes: The first voxels of the patches along each axis.
        weight: How much each voxel of a patch counts.
        axis: Along which the planes lie.
        depth: Planes that are held: at least the patch's, at most the image's.
        device: Where the logits are.
    """

    def __init__(
        self,
        extent: Shape,
        axes: Sequence[list[int]],
        weight: Float32[Tensor, "i j k"],
        *,
        axis: int,
        depth: int,
        device: torch.device,
    ) -> None:
        patch = (weight.shape[0], weight.shape[1], weight.shape[2])
        self._patch, self._axis, self._depth = patch, axis, depth
        self._shape = replaced(extent, axis, depth)
        self._along = axes[axis]
        self._weight = weight.to(device)
        self._row = torch.zeros(replaced(extent, axis, patch[axis]), device=device)
        for i, j, k in itertools.product(*replaced(axes, axis, [0])):
            self._row[box((i, j, k), patch)] += self._weight
        self._share = torch.empty_like(self._row)
        self._shifts: list[int] = []
        self._total: Tensor | None = None

    def begin(self, start: int) -> None:
        """Get ready for the patches that begin at `start` along the axis.

        A voxel's weights are divided by their sum before anything is added up, so that the sums
        need not be divided.
        """
        size = self._patch[self._axis]
        shifts = [other - start for other in self._along if abs(other - start) < size]
        if shifts == self._shifts:
            return
        self._shifts = shifts
        self._share.zero_()
        for shift in shifts:
            into = self._share.narrow(self._axis, max(0, shift), size - abs(shift))
            into += self._row.narrow(self._axis, max(0, -shift), size - abs(shift))
        self._share.reciprocal_()

    def add(self, answers: Sequence[Answer]) -> None:
        """Add patches that begin where `begin` said, and all in one plane along i.

        Args:
            answers: From 1 to `HELD`.
        """
        total = self.total(len(answers[0].logits))
        size = self._patch[self._axis]
        first = answers[0].start[self._axis] % self._depth
        before = min(size, self._depth - first)  # the planes up to the end of the ring
        act = self._add_compiled if _is_compiled(total) else self._add
        act(total, answers, self._part(answers, 0, before, into=first))
        if before < size:
            act(total, answers, self._part(answers, before, size, into=0))

    def total(self, outputs: int) -> Float32[Tensor, "outputs i j k"]:
        """Return the sums, which are zero where nothing was added."""
        if self._total is None:
            self._total = torch.zeros((outputs, *self._shape), device=self._weight.device)
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
        starts = [answer.start for answer in answers]
        return _Part(
            within=replaced((0, 0, 0), self._axis, first),
            size=replaced(self._patch, self._axis, last - first),
            targets=[replaced(start, self._axis, into) for start in starts],
            shares=[replaced(start, self._axis, first) for start in starts],
        )

    def _add(self, total: Tensor, answers: Sequence[Answer], part: _Part) -> None:
        within = box(part.within, part.size)
        weight = self._weight[within]
        for answer, target, share in zip(answers, part.targets, part.shares, strict=True):
            into = total[(slice(None), *box(target, part.size))]
            given = answer.logits[(slice(None), *within)].float()
            into.addcmul_(given, weight * self._share[box(share, part.size)])

    def _add_compiled(self, total: Tensor, answers: Sequence[Answer], part: _Part) -> None:
        from medseg.inference import blending_loop

        given = [_column(answer.logits.float().contiguous()) for answer in answers]
        held = tuple(given[min(n, len(given) - 1)] for n in range(HELD))
        sums = (_column(total), np.array(total.shape), held, len(given))
        weights = (_column(self._weight), _column(self._share))
        shapes = np.array([*self._patch, *self._share.shape])
        places = np.array([part.targets, part.shares])
        where = (shapes, places, np.array(part.within), np.array(part.size))
        workers = torch.get_num_threads()
        pieces = min(part.size[0], 3 * workers)  # more than workers: one may have less time
        bounds = [part.size[0] * n // pieces for n in range(pieces + 1)]
        jobs = [
            partial(blending_loop.add, *sums, *weights, *where, first, last)
            for first, last in itertools.pairwise(bounds)
        ]
        threads.run(jobs, workers)


def _column(values: Tensor) -> Float32[np.ndarray, "values 1"]:
    return values.view(-1, 1).numpy()


def _is_compiled(total: Tensor) -> bool:
    """Whether the compiled loop can do it: on the processor, if numba is of use."""
    return total.device.type == "cpu" and import_error("medseg.inference.blending_loop") is None
