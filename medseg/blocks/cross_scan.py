"""A grid read as sequences in several directions, and sequences laid back onto the grid.

Source: Liu et al. 2024, VMamba, section 4.2, https://arxiv.org/abs/2401.10166
Differs from the reference code: three dimensions and any orders of the axes. Permuted views are
copied once; there are no index tensors.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from medseg.blocks.axes import Grid

Order = tuple[int, int, int]
"""The axes of the grid, 0 to 2, slowest first."""

Grids = Float[Tensor, "batch directions features i j k"]
Sequences = Float[Tensor, "batch directions features length"]

AXES = "ijk"


def parse(orders: Sequence[str]) -> tuple[Order, ...]:
    """Translate orders such as "kij", where the last axis varies fastest.

    Raises:
        ValueError: One is not a permutation of "ijk", or one comes twice, or there is none.
    """
    if not orders or any(sorted(order) != list(AXES) for order in orders):
        raise ValueError(f"each order must name the axes i, j and k once, got {list(orders)}")
    if len(set(orders)) < len(orders):
        raise ValueError(f"the same order comes twice in {list(orders)}")
    axes = [[AXES.index(axis) for axis in order] for order in orders]
    return tuple((a, b, c) for a, b, c in axes)


def unroll(grids: Grids, orders: Sequence[Order]) -> Sequences:
    """Read one grid for each direction: first each order forward, then each order in reverse."""
    ways = [
        grids[:, n].permute(0, 1, *(2 + axis for axis in order))
        for n, order in enumerate((*orders, *orders))
    ]
    count = len(orders)
    there = [way.flatten(2) for way in ways[:count]]
    back = [way.flip(2, 3, 4).flatten(2) for way in ways[count:]]
    return torch.stack(there + back, dim=1)


def merge(
    sequences: Sequences, orders: Sequence[Order], grid: Grid
) -> Float[Tensor, "batch features i j k"]:
    """Lay the sequences of all directions back onto the grid, and add them up there."""
    there, back = sequences.chunk(2, dim=1)
    both = there + back.flip(-1)
    parts = []
    for n, order in enumerate(orders):
        way = both[:, n]
        way = way.view(*way.shape[:2], *(grid[axis] for axis in order))
        parts.append(way.permute(0, 1, *(2 + order.index(axis) for axis in range(3))))
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total
