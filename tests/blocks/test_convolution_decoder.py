"""A decoder of convolutions beside concatenations, steps up and normalisations."""

import pytest
import torch
from torch.nn import functional

from medseg.blocks.convolution_decoder import ConvolutionDecoder


def unit(block, x):
    """A residual unit in words."""
    norm = functional.instance_norm
    half = [width // 2 for width in block.conv1.conv.weight.shape[2:]]
    hidden = norm(functional.conv3d(x, block.conv1.conv.weight, padding=half))
    hidden = functional.conv3d(functional.leaky_relu(hidden), block.conv2.conv.weight, padding=half)
    shortcut = norm(functional.conv3d(x, block.conv3.conv.weight)) if block.projects else x
    return functional.leaky_relu(norm(hidden) + shortcut)


@pytest.mark.parametrize(
    ("strides", "kernel", "grids"),
    [
        (((2, 2, 2), (1, 2, 2)), (3, 3, 3), [(5, 7, 8), (3, 4, 4), (3, 2, 2)]),
        (((1, 2, 2), (1, 2, 2)), (1, 3, 3), [(1, 8, 8), (1, 4, 4), (1, 2, 2)]),
    ],
)
def test_each_step_refines_joins_transforms(strides, kernel, grids):
    torch.manual_seed(0)
    decoder = ConvolutionDecoder(
        2, (3, 4), features=(5, 6), strides=strides, kernel=kernel, out_channels=2
    ).double()
    image, fine, coarse = (
        torch.randn(1, features, *grid, dtype=torch.float64)
        for features, grid in zip((2, 3, 4), grids, strict=True)
    )
    x = coarse
    for n, source in ((1, fine), (0, image)):
        up = decoder.ups[n]
        i, j, k = source.shape[2:]
        refined = functional.conv_transpose3d(x, up.transp_conv.conv.weight, stride=strides[n])
        skip = unit(decoder.skips[n].layer, source)
        x = unit(up.conv_block, torch.cat([refined[:, :, :i, :j, :k], skip], dim=1))
        if n == 1:
            middle = x
    finest = unit(decoder.last.layer, x)
    found = decoder([image, fine, coarse])
    torch.testing.assert_close(found[0], finest)
    torch.testing.assert_close(found[1], middle)
    head = decoder.heads[0].conv.conv
    logits = functional.conv3d(finest, head.weight, head.bias)
    torch.testing.assert_close(decoder.finest(found, image), logits)
    assert decoder.coarser(found) == []
    assert len(decoder.heads) == 1  # the coarsest skip connection has none


def test_all_scales_but_the_two_coarsest_have_a_head():
    decoder = ConvolutionDecoder(
        1, (3, 4, 5), features=(3, 4, 5), strides=[(2, 2, 2)] * 3, kernel=(3, 3, 3), out_channels=2
    )
    shapes = [(1, 8, 8, 8), (3, 4, 4, 4), (4, 2, 2, 2), (5, 1, 1, 1)]
    grids = decoder([torch.randn(1, *shape) for shape in shapes])
    (coarser,) = decoder.coarser(grids)
    assert coarser.shape == (1, 2, 4, 4, 4)
    assert coarser.is_contiguous()
