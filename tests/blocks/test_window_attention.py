"""The bias of relative positions, in whole and in clipped windows."""

import itertools

import pytest
import torch

from medseg.blocks.window_attention import WindowAttention, relative_positions


def attention(window, clipped_bias):
    return WindowAttention(4, heads=2, window=window, shift=(0, 0, 0), clipped_bias=clipped_bias)


def test_the_index_counts_offsets_with_the_last_axis_fastest():
    assert relative_positions((1, 1, 3)).tolist() == [[2, 1, 0], [3, 2, 1], [4, 3, 2]]
    assert relative_positions((1, 2, 1)).tolist() == [[1, 0], [2, 1]]
    index = relative_positions((2, 3, 2))
    places = list(itertools.product(range(2), range(3), range(2)))
    for (n, a), (m, b) in itertools.product(enumerate(places), repeat=2):
        i, j, k = (x - y for x, y in zip(a, b, strict=True))
        assert index[n, m] == ((i + 1) * 5 + (j + 2)) * 3 + k + 1


def test_a_clipped_window_takes_the_bias_of_the_same_offsets():
    module = attention((3, 4, 5), "geometric")
    size = (2, 4, 3)
    table = module.relative_position_bias_table.detach().view(5, 7, 9, 2)
    bias = module.bias(size)
    places = list(itertools.product(*map(range, size)))
    for (n, a), (m, b) in itertools.product(enumerate(places), repeat=2):
        i, j, k = (x - y for x, y in zip(a, b, strict=True))
        assert torch.equal(bias[:, n, m], table[i + 2, j + 3, k + 4])


def test_a_clipped_window_may_take_the_first_entries_as_monai_does():
    module = attention((3, 3, 3), "monai")
    entries = module.relative_position_bias_table[relative_positions((3, 3, 3))[:4, :4]]
    assert torch.equal(module.bias((1, 2, 2)), entries.permute(2, 0, 1))


def test_a_whole_window_has_one_bias():
    torch.manual_seed(0)
    first = attention((2, 3, 2), "monai")
    second = attention((2, 3, 2), "geometric")
    second.load_state_dict(first.state_dict())
    assert torch.equal(first.bias((2, 3, 2)), second.bias((2, 3, 2)))


def test_tokens_of_other_windows_have_no_influence():
    torch.manual_seed(0)
    module = attention((2, 2, 2), "monai")
    tokens = torch.randn(1, 4, 2, 2, 4)
    changed = tokens.clone()
    changed[:, 2:] += 1
    before, after = module(tokens), module(changed)
    assert torch.equal(before[:, :2], after[:, :2])
    assert not torch.equal(before[:, 2:], after[:, 2:])


def test_a_grid_may_be_filled_up_to_a_window_larger_than_itself():
    # The same tokens on a grid as large as the window, with the zeros written out.
    torch.manual_seed(0)
    module = attention((2, 4, 3), "unclipped")
    tokens = torch.randn(1, 2, 3, 2, 4)
    whole = torch.zeros(1, 2, 4, 3, 4)
    whole[:, :, :3, :2] = tokens
    torch.testing.assert_close(module(tokens), module(whole)[:, :, :3, :2])


@pytest.mark.parametrize("length", [1, 5, 7])
def test_tokens_do_not_see_a_filling_that_is_masked(length):
    torch.manual_seed(0)
    module = WindowAttention(
        4,
        heads=2,
        window=(3, 1, 1),
        shift=(0, 0, 0),
        clipped_bias="geometric",
        mask_filling=True,
    )
    torch.nn.init.normal_(module.qkv.bias, std=5.0)  # what a zero is mapped to
    tokens = torch.randn(2, length, 1, 1, 4)
    alone = [module(part) for part in tokens.split(3, dim=1)]
    torch.testing.assert_close(module(tokens), torch.cat(alone, dim=1))
