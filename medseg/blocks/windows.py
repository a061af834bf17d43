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

Grid = tuple[int, int, int]


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


def cut(batch: int, grid: Grid, window: Grid, shift: Grid, device: torch.device) -> Windows:
    """Cut grids into windows; along an axis that fits into one window nothing is shifted.

    A grid that the windows do not divide is filled up at its end, and shifted after that,
    cyclically.
    """
    return _cut(batch, grid, window, shift, device)


@functools.lru_cache(maxsize=64)
def _cut(batch: int, grid: Grid, window: Grid, shift: Grid, device: torch.device) -> Windows:
    """Compute what `cut` returns."""
    with torch.inference_mode(mode=False):  # what is kept may be used in training later
        size = _each(min, grid, window)
        shift = _each(lambda n, w, s: s if n > w else 0, grid, window, shift)
        counts = _each(lambda n, w: -(-n // w), grid, size)
        tokens = _tokens_by_window(batch, grid, size, shift, counts)
        order, groups = _groups(size, shift, counts, device)
        return layout(size, tokens[:, order], groups, device)


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


def _groups(
    size: Grid, shift: Grid, counts: Grid, device: torch.device
) -> tuple[Int64[Tensor, " windows"], list[Group]]:
    """Order the windows by the axes along which they hold both ends of the grid."""
    last = [(torch.arange(n) == n - 1) & (s > 0) for n, s in zip(counts, shift, strict=True)]
    wraps = torch.stack(torch.meshgrid(*last, indexing="ij"), dim=-1).view(-1, 3)
    order: list[Tensor] = []
    groups: list[Group] = []
    for kind in itertools.product([False, True], repeat=3):
        members = (wraps == torch.tensor(kind)).all(dim=1).nonzero().flatten()
        if len(members):
            start = groups[-1].stop if groups else 0
            groups.append(Group(start, start + len(members), _separate(size, shift, kind, device)))
            order.append(members)
    return torch.cat(order), groups


def _separate(
    size: Grid, shift: Grid, wraps: tuple[bool, ...], device: torch.device
) -> Bool[Tensor, "tokens tokens"] | None:
    """Tell apart the tokens of a window that come from opposite ends of the grid."""
    if not any(wraps):
        return None
    ends = [
        (torch.arange(w) >= w - s) & wrap for w, s, wrap in zip(size, shift, wraps, strict=True)
    ]
    region = torch.stack(torch.meshgrid(*ends, indexing="ij"), dim=-1).view(-1, 3)
    return (region[:, None] != region[None]).any(dim=-1).to(device)


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
