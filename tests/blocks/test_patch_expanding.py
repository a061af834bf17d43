"""Blocks of tokens for tokens, in their places."""

import itertools

import torch
from torch.nn import functional

from medseg.blocks.patch_expanding import ExpandingHead, Joining, PatchExpanding


def test_each_token_becomes_a_block_with_the_last_axis_fastest():
    torch.manual_seed(0)
    expanding = PatchExpanding(4, 3, stride=(1, 2, 3)).double()
    tokens = torch.randn(1, 2, 2, 1, 4, dtype=torch.float64)
    refined = expanding(tokens)
    assert refined.shape == (1, 2, 4, 3, 3)
    for i, j, k in itertools.product(range(2), range(4), range(3)):
        part = j % 2 * 3 + k
        values = expanding.expand.weight[part * 3 : part * 3 + 3] @ tokens[0, i, j // 2, 0]
        torch.testing.assert_close(refined[0, i, j, k], functional.layer_norm(values, (3,)))


def test_of_a_refined_grid_what_lies_in_the_encoder_s_is_kept():
    expanding = PatchExpanding(4, 2, stride=(2, 2, 2))
    tokens = torch.randn(2, 2, 3, 1, 4)
    assert torch.equal(expanding(tokens, (3, 6, 1)), expanding(tokens)[:, :3, :6, :1])


def test_slices_of_an_inflated_block_are_alike():
    flat, expanding = PatchExpanding(4, 2, stride=(1, 2, 2)), PatchExpanding(4, 2, stride=(2, 2, 2))
    weight = expanding.inflated("expand.weight", flat.expand.weight)
    with torch.no_grad():
        expanding.expand.weight.copy_(weight)
    tokens = torch.randn(1, 1, 3, 3, 4)
    first, second = expanding(tokens).unbind(1)
    torch.testing.assert_close(first, second)
    torch.testing.assert_close(first, flat(tokens)[:, 0])
    assert torch.equal(expanding.inflated("norm.weight", flat.norm.weight), flat.norm.weight)


def test_what_was_expanded_otherwise_in_the_plane_is_not_guessed():
    for stride in ((1, 4, 1), (2, 1, 2)):
        assert (
            PatchExpanding(4, 2, stride=stride).inflated("expand.weight", torch.ones(8, 4)) is None
        )


def test_the_head_maps_every_voxel_of_a_patch():
    torch.manual_seed(0)
    head = ExpandingHead(4, 3, patch=(1, 2, 2), bias=True)
    tokens = torch.randn(2, 3, 2, 2, 4)
    logits = head(tokens, (3, 4, 3))
    assert logits.is_contiguous()
    expected = head.linear(head.expanding(tokens))[:, :, :, :3].permute(0, 4, 1, 2, 3)
    torch.testing.assert_close(logits, expected)


def test_joining_is_a_linear_map_of_the_concatenation():
    torch.manual_seed(0)
    joining = Joining(3)
    tokens, skip = torch.randn(2, 1, 2, 3, 4, 3)
    expected = joining.linear(torch.cat([tokens, skip], dim=-1))
    torch.testing.assert_close(joining(tokens, skip), expected)
