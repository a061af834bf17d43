"""The Swin transformer as an encoder."""

import torch
from torch import nn

from medseg.blocks.swin_encoder import SwinEncoder
from medseg.blocks.swin_stage import StageOptions

OPTIONS = StageOptions(
    window=(3, 3, 3),
    merging="monai",
    clipped_bias="geometric",
    dropout=0.0,
    checkpointing=False,
)


def encoder(drop_path=0.0):
    torch.manual_seed(0)
    return SwinEncoder(
        1,
        features=4,
        depths=(1, 3),
        heads=(1, 2),
        strides=[(1, 2, 2), (2, 2, 2)],
        drop_path=drop_path,
        options=OPTIONS,
    )


def test_scales_are_normalised_on_their_way_out_but_not_on_their_way_down():
    network = encoder()
    image = torch.randn(1, 1, 4, 9, 8)
    fine, coarse = network(image)
    assert fine.shape == (1, 4, 5, 4, 4)
    assert coarse.shape == (1, 2, 3, 2, 8)
    with torch.no_grad():
        network.norms[0].weight.mul_(2)
        doubled, same = network(image)
    torch.testing.assert_close(doubled, 2 * fine)
    assert torch.equal(same, coarse)


def test_embedded_tokens_are_normalised_and_may_be_replaced():
    seen = []
    encoder()(torch.randn(1, 1, 4, 8, 8), lambda tokens: seen.append(tokens) or tokens)
    (tokens,) = seen
    torch.testing.assert_close(tokens.mean(-1), torch.zeros(1, 4, 4, 4), rtol=0, atol=1e-6)
    spread = tokens.square().mean(-1)
    torch.testing.assert_close(spread, torch.ones(1, 4, 4, 4), rtol=0, atol=0.1)


def test_the_probability_of_leaving_a_block_out_rises_from_none_to_the_whole():
    rates = [b.drop_path.probability for stage in encoder(0.3).layers for b in stage.blocks]
    torch.testing.assert_close(torch.tensor(rates), torch.tensor([0.0, 0.1, 0.2, 0.3]))


def test_linear_maps_begin_small():
    for module in encoder().modules():
        if isinstance(module, nn.Linear):
            assert module.weight.abs().max() < 0.12
            assert module.bias is None or not module.bias.any()
