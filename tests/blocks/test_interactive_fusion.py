"""Fusion beside attention written with loops."""

import numpy as np
import pytest
import torch

from medseg.blocks.convolution import DecoderOptions
from medseg.blocks.interactive_fusion import (
    Fusion,
    FusionOptions,
    InteractiveFusion,
    SummaryAttention,
    pooled,
    pooled_grid,
)

GLOBAL = FusionOptions("global", 1, (2, 2, 2))


def attended(module, queries, seen):
    """What queries get from tokens that they see, (tokens, features) both, one head at a time."""
    weights = module.qkv.weight.detach().numpy()
    q, k, v = np.split(weights, 3)
    mixed = []
    for head in np.split(np.arange(len(q)), module.heads):
        logits = (queries @ q[head].T) @ (seen @ k[head].T).T / np.sqrt(len(head))
        share = np.exp(logits - logits.max(-1, keepdims=True))
        share /= share.sum(-1, keepdims=True)
        mixed.append(share @ (seen @ v[head].T))
    proj = module.proj
    return np.concatenate(mixed, -1) @ proj.weight.detach().numpy().T + proj.bias.detach().numpy()


def attention(options, features=6):
    torch.manual_seed(0)
    module = SummaryAttention(features, heads=2, head_features=3, options=options).double()
    module.qkv.weight.data.mul_(3)
    return module


def close(ours, expected):
    np.testing.assert_allclose(ours.detach().numpy(), expected, rtol=1e-9, atol=1e-12)


def test_every_token_sees_all_tokens_and_the_summary():
    module = attention(GLOBAL)
    tokens = torch.randn(2, 2, 3, 1, 6, dtype=torch.float64)
    summary = torch.randn(2, 6, dtype=torch.float64)
    result = module(tokens, summary)
    for case in range(2):
        own = tokens[case].reshape(-1, 6).numpy()
        seen = np.concatenate([summary[case][None].numpy(), own])
        close(result[case].reshape(-1, 6), attended(module, own, seen))


def test_pooled_keys_are_means_of_neighbours():
    module = attention(FusionOptions("pooled_kv", 2, (2, 2, 2)))
    tokens = torch.randn(1, 4, 1, 1, 6, dtype=torch.float64)
    summary = torch.randn(1, 6, dtype=torch.float64)
    own = tokens.reshape(-1, 6).numpy()
    seen = np.stack([summary[0].numpy(), own[:2].mean(0), own[2:].mean(0)])
    close(module(tokens, summary).reshape(-1, 6), attended(module, own, seen))


@pytest.mark.parametrize(
    ("grid", "most", "expected"),
    [((4, 4, 4), 64, (4, 4, 4)), ((4, 4, 4), 8, (2, 2, 2)), ((2, 9, 9), 20, (2, 3, 3)),
     ((10, 1, 1), 3, (3, 1, 1)), ((5, 5, 5), 1, (1, 1, 1))],
)  # fmt: skip
def test_the_longest_axis_is_pooled_first(grid, most, expected):
    assert pooled_grid(grid, most) == expected
    assert pooled(torch.zeros(1, *grid, 2), most).shape == (1, *expected, 2)


def test_few_tokens_are_not_pooled():
    tokens = torch.randn(1, 2, 2, 2, 3)
    assert pooled(tokens, 8) is tokens


def test_in_windows_a_token_sees_its_window_and_the_summary_but_no_filling():
    module = attention(FusionOptions("window", 1, (2, 2, 1)))
    tokens = torch.randn(2, 3, 2, 1, 6, dtype=torch.float64)
    summary = torch.randn(2, 6, dtype=torch.float64)
    result = module(tokens, summary)
    for case in range(2):
        for part in (slice(0, 2), slice(2, 3)):  # the second window is half empty
            own = tokens[case, part].reshape(-1, 6).numpy()
            seen = np.concatenate([summary[case][None].numpy(), own])
            close(result[case, part].reshape(-1, 6), attended(module, own, seen))


def test_of_the_other_grid_nothing_but_the_mean_is_known():
    torch.manual_seed(0)
    module = InteractiveFusion(8, 4, options=GLOBAL)
    fine, coarse = torch.randn(1, 4, 4, 2, 8), torch.randn(1, 2, 2, 1, 4)
    mirrored, _ = module(fine, coarse.flip(1))
    before, _ = module(fine, coarse)
    other, _ = module(fine, coarse + torch.tensor([1.0, 0, 0, 0]))
    torch.testing.assert_close(mirrored, before)
    assert not torch.allclose(other, before, rtol=1e-3)


def test_fused_features_lie_on_the_fine_grid():
    module = Fusion(
        8, 4, ratio=(1, 2, 2), fusion=GLOBAL, options=DecoderOptions((3, 3, 3), "trilinear")
    )
    fused = module(torch.randn(1, 3, 5, 4, 8), torch.randn(1, 3, 3, 2, 4))
    assert fused.shape == (1, 8, 3, 5, 4)


def test_there_must_be_something_to_see():
    with pytest.raises(ValueError, match="max_tokens must be a whole number above 0"):
        FusionOptions("pooled_kv", 0, (2, 2, 2))
