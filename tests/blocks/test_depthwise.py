"""Each feature convolved on its own."""

import pytest
import torch

from medseg.blocks.depthwise import DepthwiseConvolution


@pytest.mark.parametrize("kernel", [3, (1, 3, 3), (3, 1, 5)])
def test_each_value_is_a_weighted_sum_of_its_neighbours_in_the_same_feature(kernel):
    torch.manual_seed(0)
    module = DepthwiseConvolution(2, kernel=kernel).double()
    x = torch.randn(1, 2, 3, 4, 2, dtype=torch.float64)
    u, v, w = module.weight.shape[2:]
    p, q, r = u // 2, v // 2, w // 2
    padded = torch.zeros(2, 3 + 2 * p, 4 + 2 * q, 2 + 2 * r, dtype=torch.float64)
    padded[:, p : p + 3, q : q + 4, r : r + 2] = x[0]
    result = module(x)[0]
    for n in range(2):
        for i in range(3):
            for j in range(4):
                for k in range(2):
                    around = padded[n, i : i + u, j : j + v, k : k + w]
                    expected = (around * module.weight[n, 0]).sum() + module.bias[n]
                    torch.testing.assert_close(result[n, i, j, k], expected)


@pytest.mark.parametrize("grid", [(1, 1, 1), (2, 2, 2), (4, 4, 4)])
@pytest.mark.parametrize("autocast", [False, True])
def test_bfloat16_gradients_are_right_on_tiny_grids(grid, autocast):
    torch.manual_seed(0)
    module = DepthwiseConvolution(32)
    x = torch.randn(2, 32, *grid)
    exact = torch.autograd.grad(module(x).square().sum(), module.weight)[0]
    if autocast:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = module(x).float().square().sum()
    else:
        module = module.bfloat16()
        loss = module(x.bfloat16()).float().square().sum()
    rough = torch.autograd.grad(loss, module.weight)[0].float()
    assert (rough - exact).norm() / exact.norm() < 0.05
