"""The last layer."""

import torch

from medseg.blocks.head import Head


def test_logits_are_a_linear_map_of_the_features_of_each_voxel():
    head = Head(2, 3)
    weight = torch.tensor([[1.0, 2], [0, 1], [-1, 0]])
    with torch.no_grad():
        head.conv.conv.weight.copy_(weight[:, :, None, None, None])
        head.conv.conv.bias.copy_(torch.tensor([0.5, 0, 1]))
    x = torch.tensor([[3.0, 5.0], [10.0, 20.0]])[None, :, None, None, :]  # two voxels
    expected = [[23.5, 45.5], [10.0, 20.0], [-2.0, -4.0]]
    assert head(x)[0, :, 0, 0].tolist() == expected
    assert head(x).is_contiguous()
