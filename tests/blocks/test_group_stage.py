"""The order of a stage's parts, and how they begin."""

import pytest
import torch

from medseg.blocks.group_stage import GroupOptions, GroupStage, calm_branches

OPTIONS = GroupOptions(group=(2, 2, 2), short_grid="clip", checkpointing=False)


def stage(depth):
    torch.manual_seed(0)
    return GroupStage(8, heads=2, drop_path=[0.0] * depth, options=OPTIONS)


def test_blocks_are_local_and_global_in_turn_behind_the_position_encoding():
    module = stage(3)
    assert [block.attn.scope for block in module.blocks] == ["local", "global", "local"]
    tokens = torch.randn(1, 3, 4, 5, 8)
    expected = module.position(tokens)
    for block in module.blocks:
        expected = block(expected)
    assert torch.equal(module(tokens), expected)


def test_what_blocks_add_begins_small():
    stages = [stage(3), stage(5)]
    calm_branches(stages)
    # Of torch's uniform weights within 1 / sqrt(inputs); 8 blocks add twice each.
    for block in (*stages[0].blocks, *stages[1].blocks):
        for linear, inputs in ((block.attn.proj, 8), (block.mlp.linear2, 32)):
            largest = linear.weight.detach().abs().max()
            assert float(largest) == pytest.approx(inputs**-0.5 / 16**0.5, rel=0.05)
