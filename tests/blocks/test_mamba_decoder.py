"""A decoder of state-space blocks beside concatenations and the parts it is made of."""

import torch
from torch.nn import functional

from medseg.blocks.mamba_decoder import MambaDecoder
from medseg.blocks.state_space import StateSpaceOptions


def made(**changes):
    torch.manual_seed(0)
    options = {
        "strides": ((1, 2, 2), (2, 2, 2), (1, 2, 2)),
        "drop_path": 0.0,
        "checkpointing": False,
        "out_channels": 3,
        **changes,
    }
    return MambaDecoder((4, 8, 16), StateSpaceOptions(states=1), **options)


def test_each_step_refines_joins_transforms():
    decoder = made()
    image = torch.randn(2, 1, 3, 9, 8)
    fine, middle, coarse = (
        torch.randn(2, 4, 3, 5, 4), torch.randn(2, 8, 2, 3, 2), torch.randn(2, 16, 2, 2, 1),
    )  # fmt: skip
    found = decoder([image, fine, middle, coarse])
    x, expected = coarse.permute(0, 2, 3, 4, 1), []
    for n, skip in enumerate((middle, fine)):
        skip = skip.permute(0, 2, 3, 4, 1)
        i, j, k = skip.shape[1:4]
        refined = decoder.expand_layers[n](x)[:, :i, :j, :k]
        x = decoder.stages[n](decoder.joining[n].linear(torch.cat([refined, skip], dim=-1)))
        expected.insert(0, x)
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b)
    voxels = decoder.head.expanding(found[0])[:, :3, :9, :8]
    logits = functional.linear(voxels, decoder.head.linear.weight, decoder.head.linear.bias)
    torch.testing.assert_close(decoder.finest(found, image), logits.permute(0, 4, 1, 2, 3))
    head = decoder.heads[1].conv.conv
    logits = functional.conv3d(found[1].permute(0, 4, 1, 2, 3), head.weight, head.bias)
    torch.testing.assert_close(decoder.coarser(found)[1], logits)


def test_paths_are_dropped_less_and_less():
    decoder = made(drop_path=0.3)
    rates = [block.drop_path.probability for stage in decoder.stages for block in stage.blocks]
    torch.testing.assert_close(torch.tensor(rates), torch.tensor([0.3, 0.2, 0.1, 0.0]))
