"""First weights."""

import torch
from torch import nn

from medseg.blocks.initialization import draw_linear_maps


def test_linear_maps_begin_narrow_and_others_stay():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(100, 100), nn.Linear(2, 2, bias=False), nn.Conv3d(1, 1, 1))
    before = network[2].weight.clone()
    draw_linear_maps(network)
    assert abs(network[0].weight.std() - 0.02) < 1e-3
    assert not network[0].bias.any()
    assert torch.equal(network[2].weight, before)
