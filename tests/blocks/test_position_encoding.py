"""A token's neighbourhood, feature by feature."""

import pytest
import torch

from medseg.blocks.position_encoding import PositionEncoding


def test_each_feature_adds_its_own_weighted_neighbourhood():
    torch.manual_seed(0)
    module = PositionEncoding(2).double()
    tokens = torch.randn(1, 3, 4, 2, 2, dtype=torch.float64)
    padded = torch.zeros(5, 6, 4, 2, dtype=torch.float64)
    padded[1:-1, 1:-1, 1:-1] = tokens[0]
    weight = module.conv.weight.permute(2, 3, 4, 0, 1)[..., 0]
    expected = tokens[0].clone()
    for i in range(3):
        for j in range(4):
            for k in range(2):
                around = padded[i : i + 3, j : j + 3, k : k + 3]
                expected[i, j, k] += (around * weight).sum((0, 1, 2)) + module.conv.bias
    torch.testing.assert_close(module(tokens)[0], expected)


@pytest.mark.parametrize("grid", [(1, 1, 1), (2, 2, 2), (3, 3, 3), (4, 4, 4)])
def test_bfloat16_gradients_are_right_on_tiny_grids(grid):
    torch.manual_seed(0)
    module = PositionEncoding(32)
    tokens = torch.randn(2, *grid, 32).bfloat16()
    exact = torch.autograd.grad(module(tokens.float()).square().sum(), module.conv.weight)[0]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough = torch.autograd.grad(module(tokens).float().square().sum(), module.conv.weight)[0]
    assert (rough - exact).norm() / exact.norm() < 0.05
