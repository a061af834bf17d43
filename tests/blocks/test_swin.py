"""The Swin block's parts that no whole network shows."""

import torch
from torch import nn

from medseg.blocks.swin import AttentionBlock


def test_a_block_adds_attention_then_a_feed_forward_network_of_what_is_normalised():
    torch.manual_seed(0)
    block = AttentionBlock(4, nn.Linear(4, 4), drop_path=0.0, dropout=0.0)
    tokens = torch.randn(1, 2, 3, 1, 4)
    middle = tokens + block.attn(nn.functional.layer_norm(tokens, (4,)))
    expected = middle + block.mlp(nn.functional.layer_norm(middle, (4,)))
    torch.testing.assert_close(block(tokens), expected)
