"""Groups of adjacent tokens, and of tokens spread over the whole grid.

Source: Wu et al. 2022, D-Former, sections 3.2 and 3.3, https://arxiv.org/abs/2201.00462
Differs from the reference code: padding is masked in both scopes, along every axis; a group is
clipped along each axis alone; nothing is remembered from one grid to the next.
"""

import functools
import itertools
import math
from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Bool, Int64
from torch import Tensor

from medseg.blocks.axes import Grid
from medseg.blocks.windows import Group, Windows, layout

Scope = Literal["local", "global"]

LARGEST = 256
"""Tokens of a group that `fitting` chooses, at most."""

LONGEST = 8
"""Tokens along each axis of a group that `fitting` chooses, at most."""


def group(batch: int, grid: Grid, size: Grid, scope: Scope, device: torch.device) -> Windows:
    """Cut grids into groups of at most `size` tokens along each axis.

    In the local scope a group holds neighbours. In the global scope it holds every n-th token of
    the whole grid, n being as small as `size` allows.
    """
    return _group(batch, grid, size, scope, device)


@functools.lru_cache(maxsize=64)
def _group(batch: int, grid: Grid, size: Grid, scope: Scope, device: torch.device) -> Windows:
    """Compute what `group` returns."""
    with torch.inference_mode(mode=False):  # what is kept may be used in training later
        axes = [_along(n, most, scope) for n, most in zip(grid, size, strict=True)]
        numbers = _combine(axes, grid)
        order, groups = _by_padding(numbers >= 0, device)
        first = torch.arange(batch)[:, None, None] * math.prod(grid)
        tokens = (numbers + first).where(numbers >= 0, -1)
        i, j, k = (along.shape[1] for along in axes)
        return layout((i, j, k), tokens[:, order], groups, device)


def _along(length: int, most: int, scope: Scope) -> Int64[Tensor, "groups places"]:
    """List the places of each group along one axis; -1 behind its end."""
    size = min(length, most)
    groups = -(-length // size)
    if scope == "local":
        places = torch.arange(groups * size).view(groups, size)
    else:
        # Places that no group would fill are left out: 9 tokens in groups of at most 8 are 5 and 4.
        size = -(-length // groups)
        places = torch.arange(groups * size).view(size, groups).t()
    return places.where(places < length, -1)


def _combine(axes: list[Int64[Tensor, "_ _"]], grid: Grid) -> Int64[Tensor, "groups tokens"]:
    """Number the tokens of each group of a grid; -1 where there is none."""
    (a, p), (b, q), (c, r) = (along.shape for along in axes)
    i, j, k = axes
    i, j, k = i.view(a, 1, 1, p, 1, 1), j.view(b, 1, 1, q, 1), k.view(c, 1, 1, r)
    numbers = (i * grid[1] + j) * grid[2] + k
    there = (i >= 0) & (j >= 0) & (k >= 0)
    return numbers.where(there, -1).reshape(a * b * c, p * q * r)


def _by_padding(
    filled: Bool[Tensor, "groups tokens"], device: torch.device
) -> tuple[Int64[Tensor, " groups"], list[Group]]:
    """Order the groups by which of their slots are empty; nothing attends to an empty slot."""
    kinds, kind, counts = torch.unique(filled, dim=0, return_inverse=True, return_counts=True)
    stops = list(itertools.accumulate(counts.tolist()))
    groups = [
        Group(start, stop, None if there.all() else (~there).to(device).expand(len(there), -1))
        for start, stop, there in zip([0, *stops], stops, kinds, strict=False)
    ]
    return kind.argsort(stable=True), groups


def fitting(grids: Sequence[Grid]) -> Grid:
    """Return the size of groups that fill grids, finest first, with the least padding.

    Of equals the largest is taken, whose tokens see the most, and of those the shortest along the
    first axis, along which slices are thick if they are anywhere.
    """
    a, b, c = (range(1, min(n, LONGEST) + 1) for n in grids[0])
    small = [size for size in itertools.product(a, b, c) if math.prod(size) <= LARGEST]
    return min(small, key=lambda size: (_padding(size, grids), -math.prod(size), size))


def _padding(size: Grid, grids: Sequence[Grid]) -> float:
    """Return the slots per token in the local scope, summed over grids."""
    total = 0.0
    for grid in grids:
        clipped = [min(along) for along in zip(grid, size, strict=True)]
        slots = [-(-n // c) * c for n, c in zip(grid, clipped, strict=True)]
        total += math.prod(slots) / math.prod(grid)
    return total
