"""Which tokens share an attention window, and which of them may see each other.

Source: Liu et al. 2021, Swin transformer, section 3.2, https://arxiv.org/abs/2103.14030
Differs from the reference code: padding, shift, partition and their inverses are one gather each;
windows that obey the same mask lie next to each other, so that a mask is stored once and not once
per window.
"""

import functools
import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torch.autograd.function import once_differentiable

from medseg.blocks.axes import Grid


@dataclass(frozen=True, slots=True)
class Group:
    """Consecutive windows under one mask."""

    start: int
    stop: int
    separate: Bool[Tensor, "tokens tokens"] | None
    """Pairs that must not see each other; None if all may."""


@dataclass(frozen=True, slots=True)
class Windows:
    """A batch of grids cut into windows."""

    size: Grid
    source: Int64[Tensor, " slots"]
    """The token in each slot of each window; 0 where there is none."""
    empty: Int64[Tensor, " empty"]
    """The slots without a token."""
    slot: Int64[Tensor, " tokens"]
    """The slot of each token."""
    groups: tuple[Group, ...]

    @property
    def tokens(self) -> int:
        """Slots of one window."""
        return math.prod(self.size)


def cut(
    batch: int,
    grid: Grid,
    window: Grid,
    shift: Grid,
    device: torch.device,
    *,
    clip: bool = True,
    mask_filling: bool = False,
) -> Windows:
    """Cut grids into windows; along an axis that fits into one window nothing is shifted.

    A grid that the windows do not divide is filled up at its end, and shifted after that,
    cyclically. Without `clip`, this holds for a grid smaller than a window as well. With
    `mask_filling`, no token sees what the grid is filled up with.
    """
    return _cut(batch, grid, window, shift, device, clip, mask_filling)


@functools.lru_cache(maxsize=64)
def _cut(
    batch: int,
    grid: Grid,
    window: Grid,
    shift: Grid,
    device: torch.device,
    clip: bool,  # noqa: FBT001 - what is kept is found by position
    mask_filling: bool,  # noqa: FBT001
) -> Windows:
    """Compute what `cut` returns."""
    with torch.inference_mode(mode=False):  # what is kept may be used in training later
        size = _each(min, grid, window) if clip else window
        shift = _each(lambda n, w, s: s if n > w or not clip else 0, grid, window, shift)
        counts = _each(lambda n, w: -(-n // w), grid, size)
        tokens = _tokens_by_window(batch, grid, size, shift, counts)
        regions = [
            _regions(n, w, s, count, mask_filling=mask_filling)
            for n, w, s, count in zip(grid, size, shift, counts, strict=True)
        ]
        order, groups = _groups(regions, device)
        return layout(size, tokens[:, order], groups, device)


def fitting_window(grid: Grid) -> Grid:
    """Return a window of 5 to 7 tokens along each axis that fills a grid.

    Windows that stick out of the grid compute attention for nothing. Along each axis the length
    is taken that needs the fewest tokens; of equals the largest, which sees the most.
    """
    return _each(lambda n: min((7, 6, 5), key=lambda width: -(-n // width) * width), grid)


def layout(
    size: Grid,
    tokens: Int64[Tensor, "batch windows tokens"],
    groups: Sequence[Group],
    device: torch.device,
) -> Windows:
    """Note where each token goes and comes from; windows of one group must lie side by side.

    Args:
        size: Of a window.
        tokens: The number of the token in each slot, those of the first case first; -1 where there
            is none.
        groups: Of the windows of one case.
        device: Where the indices are needed.
    """
    batch = len(tokens)
    source = tokens.transpose(0, 1).flatten()
    filled = source >= 0
    slot = torch.empty(int(filled.sum()), dtype=torch.int64)
    slot[source[filled]] = filled.nonzero().flatten()
    return Windows(
        size=size,
        source=source.clamp(min=0).to(device),
        empty=(~filled).nonzero().flatten().to(device),
        slot=slot.to(device),
        groups=tuple(Group(g.start * batch, g.stop * batch, g.separate) for g in groups),
    )


def _tokens_by_window(
    batch: int, grid: Grid, size: Grid, shift: Grid, counts: Grid
) -> Int64[Tensor, "batch windows tokens"]:
    """Number the tokens of each window; -1 where there is none."""
    padded = _each(lambda n, w: n * w, counts, size)
    numbers = torch.full((batch, *padded), -1)
    i, j, k = grid
    numbers[:, :i, :j, :k] = torch.arange(batch * i * j * k).view(batch, i, j, k)
    numbers = numbers.roll([-s for s in shift], dims=(1, 2, 3))
    (a, b, c), (p, q, r) = counts, size
    cells = numbers.view(batch, a, p, b, q, c, r).permute(0, 1, 3, 5, 2, 4, 6)
    return cells.reshape(batch, a * b * c, p * q * r)


def _regions(
    length: int, size: int, shift: int, count: int, *, mask_filling: bool
) -> Int64[Tensor, "windows slots"]:
    """Number the regions of each window along one axis: 1 behind the end of the grid, else 0.

    What the grid is filled up with is a region of its own, -1, if it is to be masked.
    """
    regions = torch.zeros(count, size, dtype=torch.int64)
    regions[-1, size - shift :] = 1
    if mask_filling:
        places = (torch.arange(count * size) + shift) % (count * size)
        regions[(places >= length).view(count, size)] = -1
    return regions


def _groups(
    regions: list[Int64[Tensor, "_ _"]], device: torch.device
) -> tuple[Int64[Tensor, " windows"], list[Group]]:
    """Order the windows by the regions that they hold along each axis."""
    kinds = [torch.unique(along, dim=0, return_inverse=True) for along in regions]
    of_window = torch.stack(torch.meshgrid(*(kind for _, kind in kinds), indexing="ij"), dim=-1)
    order: list[Tensor] = []
    groups: list[Group] = []
    for kind in itertools.product(*(range(len(rows)) for rows, _ in kinds)):
        members = (of_window.view(-1, 3) == torch.tensor(kind)).all(dim=1).nonzero().flatten()
        start = groups[-1].stop if groups else 0
        separate = _separate([rows[n] for (rows, _), n in zip(kinds, kind, strict=True)])
        if separate is not None:
            separate = separate.to(device)
        groups.append(Group(start, start + len(members), separate))
        order.append(members)
    return torch.cat(order), groups


def _separate(regions: list[Int64[Tensor, " _"]]) -> Bool[Tensor, "tokens tokens"] | None:
    """Tell apart the tokens of a window that are in different regions along any axis."""
    region = torch.stack(torch.meshgrid(*regions, indexing="ij"), dim=-1).view(-1, 3)
    apart = (region[:, None] != region[None]).any(dim=-1)
    return apart if apart.any() else None


def _each(function: Callable[..., int], *axes: Grid) -> Grid:
    """Apply a function along each axis."""
    i, j, k = map(function, *axes)
    return i, j, k


def partition(
    tokens: Float[Tensor, "tokens features"], windows: Windows
) -> Float[Tensor, "slots features"]:
    """Put every token into its slot; empty slots hold 0."""
    result: Tensor = _Partition.apply(tokens, windows)
    return result


def reverse(
    slots: Float[Tensor, "slots features"], windows: Windows
) -> Float[Tensor, "tokens features"]:
    """Take every token out of its slot: the inverse of `partition`."""
    result: Tensor = _Reverse.apply(slots, windows)
    return result


def _fill(tokens: Tensor, windows: Windows) -> Tensor:
    """Gather tokens into slots."""
    return tokens.index_select(0, windows.source).index_fill_(0, windows.empty, 0)


class _Partition(torch.autograd.Function):
    """A gather whose gradient is a gather as well, not a scatter."""

    @staticmethod
    def forward(ctx: Any, tokens: Tensor, windows: Windows) -> Tensor:
        ctx.windows = windows
        return _fill(tokens, windows)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient.index_select(0, ctx.windows.slot), None


class _Reverse(torch.autograd.Function):
    """The inverse gather."""

    @staticmethod
    def forward(ctx: Any, slots: Tensor, windows: Windows) -> Tensor:
        ctx.windows = windows
        return slots.index_select(0, windows.slot)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return _fill(gradient, ctx.windows), None
