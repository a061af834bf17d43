"""A stage of the Swin transformer."""

import pytest
import torch

from medseg.blocks.swin_stage import StageOptions, SwinStage, check_heads, check_stages

OPTIONS = StageOptions(
    window=(2, 3, 4),
    merging="monai",
    clipped_bias="geometric",
    dropout=0.0,
    checkpointing=False,
)


def test_every_other_block_shifts_its_windows_by_half():
    stage = SwinStage(4, heads=2, stride=None, drop_path=[0.0, 0.0, 0.0], options=OPTIONS)
    assert [block.attn.shift for block in stage.blocks] == [(0, 0, 0), (1, 1, 2), (0, 0, 0)]


def test_tokens_are_returned_before_they_are_merged_and_after():
    stage = SwinStage(4, heads=2, stride=(1, 2, 2), drop_path=[0.0], options=OPTIONS)
    tokens, merged = stage(torch.randn(1, 3, 4, 5, 4))
    assert tokens.shape == (1, 3, 4, 5, 4)
    assert torch.equal(merged, stage.downsample(tokens))
    assert merged.shape == (1, 3, 2, 3, 8)


def test_without_a_stride_nothing_is_merged():
    stage = SwinStage(4, heads=2, stride=None, drop_path=[0.0], options=OPTIONS)
    tokens, same = stage(torch.randn(1, 3, 4, 5, 4))
    assert same is tokens


def test_impossible_stages_are_refused():
    with pytest.raises(ValueError, match="heads need 4 entries, one for each stage, got 3"):
        check_stages(4, depths=(1, 1, 1, 1), heads=(1, 2, 4))
    with pytest.raises(ValueError, match="5 coarse_heads do not divide the 16 features of stage 2"):
        check_heads(8, (2, 5), "coarse_heads")
