"""Residual blocks beside the concatenations and steps that they avoid."""

import pytest
import torch
from torch.nn import functional

from medseg.blocks.residual import (
    Convolution,
    ResidualBlock,
    UpBlock,
    convolve,
    join,
    upsample_convolve,
)


def features(*shape):
    return torch.randn(*shape, dtype=torch.float64)


@pytest.mark.parametrize("width", [1, 3])
def test_joining_is_convolving_the_concatenation(width):
    a, b = features(2, 5, 4, 3, 6), features(2, 2, 4, 3, 6)
    weight = features(3, 7, width, width, width)
    expected = functional.conv3d(torch.cat([a, b], 1), weight, padding=width // 2)
    torch.testing.assert_close(join([a, b], weight), expected)


@pytest.mark.parametrize("width", [1, 3])
@pytest.mark.parametrize("stride", [(2, 2, 2), (1, 2, 2), (1, 2, 3)])
def test_a_composed_step_up_is_both_steps_in_a_row(stride, width):
    low = features(2, 4, 3, 2, 4)
    upsample, weight = features(4, 5, *stride), features(6, 5, width, width, width)
    fine = functional.conv_transpose3d(low, upsample, stride=stride)
    expected = functional.conv3d(fine, weight, padding=width // 2)
    torch.testing.assert_close(upsample_convolve(low, upsample, weight, stride), expected)


@pytest.mark.parametrize("grid", [(2, 2, 2), (20, 12, 12)])  # in a row, composed
def test_a_step_up_upsamples_concatenates_transforms(grid):
    torch.manual_seed(0)
    block = UpBlock(6, 3, stride=(2, 2, 1)).double()
    low, skip = features(1, 6, *grid), features(1, 3, 2 * grid[0], 2 * grid[1], grid[2])
    fine = functional.conv_transpose3d(low, block.transp_conv.conv.weight, stride=(2, 2, 1))
    expected = in_words(block.conv_block, torch.cat([fine, skip], 1))
    torch.testing.assert_close(block(low, skip), expected)


@pytest.mark.parametrize("in_features", [3, 5])
def test_a_block_is_two_convolutions_beside_a_shortcut(in_features):
    torch.manual_seed(0)
    block = ResidualBlock(in_features, 3).double()
    x = features(2, in_features, 4, 5, 6).contiguous(memory_format=torch.channels_last_3d)
    torch.testing.assert_close(block(x), in_words(block, x))
    with torch.no_grad():
        kept = x.clone()
        block(x)
        assert torch.equal(x, kept)


def in_words(block, x):
    norm = functional.instance_norm
    hidden = functional.leaky_relu(norm(functional.conv3d(x, block.conv1.conv.weight, padding=1)))
    hidden = norm(functional.conv3d(hidden, block.conv2.conv.weight, padding=1))
    shortcut = norm(functional.conv3d(x, block.conv3.conv.weight)) if block.projects else x
    return functional.leaky_relu(hidden + shortcut)


@pytest.mark.parametrize("length", [1, 2, 3])
def test_bfloat16_gradients_of_tiny_grids_are_finite(length):
    # torch's own are not always, so that many are tried, over memory that was full of NaN
    for _ in range(15):
        full = torch.full((4_000_000,), torch.nan)
        del full
        weight = torch.randn(16, 16, 3, 3, 3, dtype=torch.bfloat16, requires_grad=True)
        x = torch.randn(1, 16, length, length, length, dtype=torch.bfloat16, requires_grad=True)
        convolve(x, weight).sum().backward()
        assert torch.isfinite(weight.grad).all()
        assert torch.isfinite(x.grad).all()


def test_a_convolution_adds_its_bias():
    convolution = Convolution(2, 3, kernel=3, bias=True)
    x = torch.randn(1, 2, 4, 5, 6)
    expected = functional.conv3d(x, convolution.conv.weight, convolution.conv.bias, padding=1)
    torch.testing.assert_close(convolution(x), expected)
