"""Normalised convolutions beside torch's own, and the step up by hand."""

import pytest
import torch
from torch.nn import functional

from medseg.blocks.convolution import (
    BiasedConvolution,
    ConvolutionUp,
    DecoderOptions,
    NormalizedConvolution,
    ShallowSkips,
    refine,
)


@pytest.mark.parametrize("kernel", [1, 3, (1, 3, 3), (3, 1, 5)])
def test_parts_are_convolved_as_if_they_were_concatenated(kernel):
    torch.manual_seed(0)
    convolution = BiasedConvolution(5, 4, kernel=kernel, rectified=True).double()
    a, b = (torch.randn(2, n, 5, 6, 7, dtype=torch.float64) for n in (2, 3))
    weight, bias = convolution.conv.weight, convolution.conv.bias
    padding = [w // 2 for w in weight.shape[2:]]
    expected = functional.conv3d(torch.cat([a, b], 1), weight, bias, padding=padding).relu()
    torch.testing.assert_close(convolution(a, b), expected)


@pytest.mark.parametrize(("features", "groups"), [(48, 16), (64, 32), (6, 2)])
def test_as_many_features_are_normalised_together_as_divide_them(features, groups):
    torch.manual_seed(0)
    block = NormalizedConvolution(3, features, kernel=3).double()
    x = torch.randn(2, 3, 4, 5, 6, dtype=torch.float64)
    y = functional.conv3d(x, block.conv.conv.weight, block.conv.conv.bias, padding=1)
    y = y.view(2, groups, -1)
    y = (y - y.mean(-1, keepdim=True)) / (y.var(-1, keepdim=True, correction=0) + 1e-5).sqrt()
    torch.testing.assert_close(block(x), y.view(2, features, 4, 5, 6).relu())


def test_a_single_voxel_is_normalised_to_nothing():
    block = NormalizedConvolution(1, 4, kernel=3)
    result = block(torch.randn(1, 1, 1, 1, 1))
    torch.testing.assert_close(result, torch.zeros(1, 4, 1, 1, 1), rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("mode", "expected"), [("trilinear", [0, 1, 3, 5, 7]), ("nearest", [0, 0, 4, 4, 8])]
)
def test_a_grid_is_refined_along_the_stride_and_cut_to_the_finer_one(mode, expected):
    x = torch.tensor([0.0, 4, 8]).view(1, 1, 1, 1, 3)
    fine = refine(x, (1, 1, 2), torch.zeros(1, 7, 1, 1, 5), mode)
    assert fine.flatten().tolist() == expected


def test_a_step_up_ends_where_the_skip_connection_does():
    up = ConvolutionUp(8, stride=(1, 2, 2), options=DecoderOptions((1, 3, 3), "trilinear"))
    low, skip = torch.randn(1, 8, 3, 3, 4), torch.randn(1, 4, 3, 5, 8)
    assert up(low, skip).shape == skip.shape


def test_shallow_features_halve_the_grid_upwards_and_double():
    shallow = ShallowSkips(2, 16, strides=[(1, 2, 2), (2, 2, 2)], kernel=3)
    fine, coarse = shallow(torch.randn(1, 2, 5, 7, 9))
    assert fine.shape == (1, 4, 5, 7, 9)
    assert coarse.shape == (1, 8, 5, 4, 5)


def test_impossible_options_are_refused():
    with pytest.raises(ValueError, match="multiple of 4"):
        ShallowSkips(1, 6, strides=[(2, 2, 2), (2, 2, 2)], kernel=3)
    with pytest.raises(ValueError, match="kernel must be odd"):
        DecoderOptions((1, 2, 3), "nearest")
