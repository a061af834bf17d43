"""Attention in groups beside softmax(q k) v, group by group."""

import itertools

import pytest
import torch

from medseg.blocks.group_attention import GroupAttention


def written_out(module, tokens, together):
    """What the module should compute, for each token from those `together` with it."""
    q, k, v = (tokens @ module.qkv.weight.T + module.qkv.bias).chunk(3, dim=-1)
    result = torch.empty_like(tokens)
    places = list(itertools.product(*map(range, tokens.shape[:3])))
    width = tokens.shape[-1] // module.heads
    for a in places:
        seen = [b for b in places if together(a, b)]
        mixed = []
        for head in range(module.heads):
            part = slice(head * width, (head + 1) * width)
            logits = torch.stack([q[a][part] @ k[b][part] for b in seen]) / width**0.5
            mixed.append(logits.softmax(0) @ torch.stack([v[b][part] for b in seen]))
        result[a] = torch.cat(mixed) @ module.proj.weight.T + module.proj.bias
    return result


def attention(scope, size, short_grid="clip"):
    torch.manual_seed(0)
    module = GroupAttention(4, heads=2, size=size, scope=scope, short_grid=short_grid)
    return module.double()


@pytest.mark.parametrize("grid", [(4, 4, 2), (3, 5, 1), (1, 3, 5)])
def test_a_token_sees_its_neighbours_in_the_local_scope(grid):
    module = attention("local", (2, 2, 2))
    tokens = torch.randn(2, *grid, 4, dtype=torch.float64)
    result = module(tokens)
    for case, ours in zip(tokens, result, strict=True):
        expected = written_out(
            module, case, lambda a, b: all(x // 2 == y // 2 for x, y in zip(a, b, strict=True))
        )
        torch.testing.assert_close(ours, expected)


@pytest.mark.parametrize("grid", [(4, 4, 2), (3, 5, 1), (1, 3, 5)])
def test_a_token_sees_all_at_the_stride_of_the_groups_in_the_global_scope(grid):
    module = attention("global", (2, 2, 2))
    tokens = torch.randn(1, *grid, 4, dtype=torch.float64)
    strides = [-(-n // 2) if n > 2 else 1 for n in grid]
    expected = written_out(
        module,
        tokens[0],
        lambda a, b: all(x % s == y % s for x, y, s in zip(a, b, strides, strict=True)),
    )
    torch.testing.assert_close(module(tokens)[0], expected)


@pytest.mark.parametrize("scope", ["local", "global"])
def test_a_group_longer_than_the_grid_may_hold_all_of_it(scope):
    module = attention(scope, (2, 4, 4), "whole")
    tokens = torch.randn(1, 3, 3, 5, 4, dtype=torch.float64)
    expected = written_out(module, tokens[0], lambda _a, _b: True)
    torch.testing.assert_close(module(tokens)[0], expected)
    longer = torch.randn(1, 3, 4, 5, 4, dtype=torch.float64)  # the second axis is long enough
    torch.testing.assert_close(module(longer), attention(scope, (2, 4, 4))(longer))


@pytest.mark.parametrize("scope", ["local", "global"])
def test_padding_gets_no_attention_and_its_gradient_is_right(scope):
    module = attention(scope, (2, 2, 2))
    tokens = torch.randn(1, 3, 2, 3, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(module, tokens)
    with torch.no_grad():  # an empty slot has the bias of queries, keys and values
        before = module(tokens)
        module.qkv.bias[8:] += 1  # of values: every token gets it once, whatever it attends to
        torch.testing.assert_close(
            module(tokens) - before, module.proj.weight.sum(1).expand_as(before)
        )
