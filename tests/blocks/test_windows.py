"""Windows beside a definition token by token."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from medseg.blocks.windows import cut, fitting_window, partition, reverse

AXIS = st.tuples(st.integers(1, 7), st.integers(1, 4))
CPU = torch.device("cpu")


@settings(max_examples=25, deadline=None)
@given(st.tuples(AXIS, AXIS, AXIS), st.integers(1, 2), st.booleans())
def test_partition_and_reverse_are_inverses(axes, batch, shifted):
    grid, window = (tuple(along) for along in zip(*axes, strict=True))
    shift = tuple(w // 2 if shifted else 0 for w in window)
    windows = cut(batch, grid, window, shift, CPU)
    tokens = torch.randn(batch * grid[0] * grid[1] * grid[2], 2)
    slots = partition(tokens, windows)
    assert torch.equal(reverse(slots, windows), tokens)
    assert slots.count_nonzero() == tokens.count_nonzero()  # nothing twice, zeros elsewhere


def test_tokens_meet_if_they_are_near_or_at_one_end():
    # Windows of 4 on 5 tokens, filled up to 8 and shifted by 2, hold 2 3 4 5 and 6 7 0 1.
    windows = cut(1, (5, 1, 1), (4, 4, 4), (2, 2, 2), CPU)
    assert windows.size == (4, 1, 1)
    slots = partition(torch.arange(1.0, 6.0)[:, None], windows).view(-1, 4)
    assert slots.tolist() == [[3, 4, 5, 0], [0, 0, 1, 2]]
    near, wrapped = windows.groups
    assert near.separate is None
    assert wrapped.separate.tolist() == [
        [False, False, True, True],
        [False, False, True, True],
        [True, True, False, False],
        [True, True, False, False],
    ]


@pytest.mark.parametrize("grid", [(5, 6, 7), (8, 3, 9)])
def test_masks_are_those_of_regions_painted_on_the_grid(grid):
    window, shift = (4, 4, 4), (2, 2, 2)
    windows = cut(1, grid, window, shift, CPU)
    region = {}
    for place in itertools.product(*map(range, grid)):
        ends = []
        for n, at in zip(grid, place, strict=True):
            padded = -(-n // 4) * 4
            rolled = (at - 2) % padded
            ends.append((rolled >= padded - 4) + (rolled >= padded - 2) if n > 4 else 0)
        region[len(region)] = tuple(ends)
    filled = torch.ones(len(windows.source), dtype=torch.bool)
    filled[windows.empty] = False
    source = windows.source.view(-1, windows.tokens)
    filled = filled.view(source.shape)
    for group in windows.groups:
        for w in range(group.start, group.stop):
            for a, b in itertools.combinations(filled[w].nonzero().flatten().tolist(), 2):
                apart = region[int(source[w, a])] != region[int(source[w, b])]
                assert (group.separate is not None and bool(group.separate[a, b])) == apart


def test_a_window_may_be_larger_than_the_grid():
    # 2 tokens, filled up to 4 and shifted by 2, are - - 0 1.
    windows = cut(1, (2, 1, 1), (4, 1, 1), (2, 0, 0), CPU, clip=False)
    assert windows.size == (4, 1, 1)
    slots = partition(torch.arange(1.0, 3.0)[:, None], windows)
    assert slots.flatten().tolist() == [0, 0, 1, 2]
    (group,) = windows.groups
    assert group.separate[0].tolist() == [False, False, True, True]


def test_the_filling_may_be_a_region_of_its_own():
    # Windows of 4 on 5 tokens, filled up to 8 and shifted by 2, hold 2 3 4 - and - - 0 1.
    windows = cut(1, (5, 1, 1), (4, 4, 4), (2, 2, 2), CPU, mask_filling=True)
    slots = partition(torch.arange(1.0, 6.0)[:, None], windows).view(-1, 4)
    for group in windows.groups:
        for tokens in slots[group.start : group.stop]:
            filled = tokens > 0
            assert torch.equal(group.separate, filled[:, None] != filled[None])
    assert sorted(slots.tolist()) == [[0, 0, 1, 2], [3, 4, 5, 0]]


def test_where_nothing_is_filled_up_nothing_more_is_masked():
    masked, plain = (
        cut(2, (4, 6, 2), (2, 3, 2), (1, 1, 1), CPU, mask_filling=mask) for mask in (True, False)
    )
    assert torch.equal(masked.source, plain.source)
    for a, b in zip(masked.groups, plain.groups, strict=True):
        assert (a.start, a.stop) == (b.start, b.stop)
        assert a.separate is b.separate is None or torch.equal(a.separate, b.separate)


def test_windows_fill_a_grid_and_of_equals_the_largest_is_taken():
    # 48 = 8 x 6, while 7 x 7 = 49; 35 = 5 x 7 = 7 x 5
    assert fitting_window((48, 35, 20)) == (6, 7, 5)
