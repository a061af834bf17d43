"""Groups beside a definition token by token."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from medseg.blocks.token_groups import fitting, group
from medseg.blocks.windows import partition, reverse

AXIS = st.tuples(st.integers(1, 9), st.integers(1, 4))
SCOPE = st.sampled_from(["local", "global"])
CPU = torch.device("cpu")


@settings(max_examples=25, deadline=None)
@given(st.tuples(AXIS, AXIS, AXIS), st.integers(1, 2), SCOPE)
def test_partition_and_reverse_are_inverses(axes, batch, scope):
    grid, size = (tuple(along) for along in zip(*axes, strict=True))
    groups = group(batch, grid, size, scope, CPU)
    tokens = torch.randn(batch * grid[0] * grid[1] * grid[2], 2)
    slots = partition(tokens, groups)
    assert torch.equal(reverse(slots, groups), tokens)
    assert slots.count_nonzero() == tokens.count_nonzero()  # nothing twice, zeros elsewhere


def members(groups):
    """The tokens of each group, and which of its slots its mask hides."""
    filled = torch.ones(len(groups.source), dtype=torch.bool)
    filled[groups.empty] = False
    source = groups.source.where(filled, -1).view(-1, groups.tokens)
    hidden = torch.zeros_like(source, dtype=torch.bool)
    for g in groups.groups:
        if g.separate is not None:
            assert (g.separate == g.separate[0]).all()
            hidden[g.start : g.stop] = g.separate[0]
    return source, hidden


def test_neighbours_share_a_group_in_the_local_scope():
    source, hidden = members(group(1, (5, 1, 1), (3, 3, 3), "local", CPU))
    assert sorted(source.tolist()) == [[0, 1, 2], [3, 4, -1]]
    assert torch.equal(hidden, source < 0)


def test_every_second_token_shares_a_group_in_the_global_scope():
    source, hidden = members(group(1, (1, 1, 8), (4, 4, 4), "global", CPU))
    assert sorted(source.tolist()) == [[0, 2, 4, 6], [1, 3, 5, 7]]
    assert not hidden.any()


def test_places_that_no_group_fills_are_left_out():
    # 9 tokens in groups of at most 8 are two groups, the longer of which has 5
    source, hidden = members(group(1, (1, 9, 1), (8, 8, 8), "global", CPU))
    assert sorted(source.tolist()) == [[0, 2, 4, 6, 8], [1, 3, 5, 7, -1]]
    assert torch.equal(hidden, source < 0)


@pytest.mark.parametrize("scope", ["local", "global"])
@pytest.mark.parametrize("grid", [(5, 6, 7), (8, 3, 9), (1, 4, 10)])
def test_groups_of_a_volume_combine_those_of_its_axes(grid, scope):
    size = (2, 4, 3)
    numbers = {}
    for number, place in enumerate(itertools.product(*map(range, grid))):
        of_axes = []
        for at, length, most in zip(place, grid, size, strict=True):
            share = min(most, length)
            count = -(-length // share)
            of_axes.append(at // share if scope == "local" else at % count)
        numbers.setdefault(tuple(of_axes), set()).add(number)
    source, hidden = members(group(1, grid, size, scope, CPU))
    found = {frozenset(row[row >= 0].tolist()) for row in source}
    assert found == set(map(frozenset, numbers.values()))
    assert torch.equal(hidden, source < 0)


def test_groups_under_one_mask_lie_side_by_side():
    groups = group(2, (5, 6, 7), (4, 4, 4), "local", CPU).groups
    assert [g.start for g in groups] == [0, *(g.stop for g in groups[:-1])]
    assert groups[-1].stop == 2 * 2 * 2 * 2
    assert sum(g.separate is None for g in groups) == 1


def test_fitting_groups_divide_the_grids():
    assert fitting([(20, 28, 20), (10, 14, 10), (5, 7, 5)]) == (5, 7, 5)
    # 8 x 8 x 8 would be too many; the first axis gives way
    assert fitting([(32, 32, 32), (16, 16, 16)]) == (4, 8, 8)
    assert fitting([(1, 6, 6)]) == (1, 6, 6)
