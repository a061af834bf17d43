"""Values computed twice instead of kept."""

import torch
from torch import nn

from medseg.blocks.checkpointing import call, chain


class Counting(nn.Module):
    def __init__(self):
        super().__init__()
        self.calls = 0
        self.linear = nn.Linear(2, 2)

    def forward(self, tokens):
        self.calls += 1
        return self.linear(tokens)


def test_blocks_are_computed_again_only_for_a_backward_pass():
    tokens = torch.randn(1, 1, 1, 1, 2)
    for checkpointing, calls in ((False, 1), (True, 2)):
        blocks = [Counting(), Counting()]
        chain(blocks, tokens, checkpointing=checkpointing).sum().backward()
        assert [block.calls for block in blocks] == [calls, calls]
    block = Counting()
    with torch.no_grad():
        result = call(block, tokens, checkpointing=True)
    assert block.calls == 1
    assert torch.equal(result, block.linear(tokens))
