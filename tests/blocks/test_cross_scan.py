"""Grids read in several directions, beside loops over the positions of their voxels."""

import itertools

import pytest
import torch

from medseg.blocks import cross_scan
from medseg.blocks.cross_scan import merge, unroll

SIX = ("ijk", "jki", "kij")


def positions(grid, order, *, reverse):
    """Where each step of a sequence looks, by counting with the last axis of the order fastest."""
    lengths = [range(grid["ijk".index(axis)]) for axis in order]
    steps = []
    for counters in itertools.product(*lengths):
        at = dict(zip(order, counters, strict=True))
        steps.append((at["i"], at["j"], at["k"]))
    return steps[::-1] if reverse else steps


@pytest.mark.parametrize("orders", [SIX, ("ijk", "ikj"), ("kji",), ("ijk", "ikj", "jik", "jki")])
@pytest.mark.parametrize("grid", [(2, 3, 4), (1, 3, 2), (1, 1, 1), (3, 1, 5)])
def test_each_direction_visits_the_voxels_in_its_order(orders, grid):
    directions = [(order, reverse) for reverse in (False, True) for order in orders]
    grids = torch.randn(2, len(directions), 3, *grid)
    sequences = unroll(grids, cross_scan.parse(orders))
    assert sequences.shape == (2, len(directions), 3, grid[0] * grid[1] * grid[2])
    for n, (order, reverse) in enumerate(directions):
        for step, (i, j, k) in enumerate(positions(grid, order, reverse=reverse)):
            assert torch.equal(sequences[:, n, :, step], grids[:, n, :, i, j, k])


@pytest.mark.parametrize("orders", [SIX, ("ijk", "ikj")])
@pytest.mark.parametrize("grid", [(2, 3, 4), (1, 3, 2)])
def test_what_meets_at_a_voxel_is_added_up(orders, grid):
    directions = [(order, reverse) for reverse in (False, True) for order in orders]
    sequences = torch.randn(2, len(directions), 3, grid[0] * grid[1] * grid[2]).double()
    expected = torch.zeros(2, 3, *grid).double()
    for n, (order, reverse) in enumerate(directions):
        for step, (i, j, k) in enumerate(positions(grid, order, reverse=reverse)):
            expected[:, :, i, j, k] += sequences[:, n, :, step]
    torch.testing.assert_close(merge(sequences, cross_scan.parse(orders), grid), expected)


def test_a_slice_is_read_by_rows_and_columns_as_published():
    # 0 1 2
    # 3 4 5
    image = torch.arange(6.0).view(1, 1, 1, 1, 2, 3).expand(1, 4, 1, 1, 2, 3)
    rows, columns, rows_back, columns_back = unroll(image, cross_scan.parse(("ijk", "ikj")))[
        0, :, 0
    ]
    assert rows.tolist() == [0, 1, 2, 3, 4, 5]
    assert columns.tolist() == [0, 3, 1, 4, 2, 5]
    assert rows_back.tolist() == [5, 4, 3, 2, 1, 0]
    assert columns_back.tolist() == [5, 2, 4, 1, 3, 0]


@pytest.mark.parametrize(
    ("orders", "message"),
    [
        ((), "must name the axes"),
        (("ijk", "iij"), "must name the axes i, j and k once"),
        (("ijk", "ijk"), "comes twice"),
    ],
)
def test_impossible_orders_are_refused(orders, message):
    with pytest.raises(ValueError, match=message):
        cross_scan.parse(orders)
