"""A stage of the Swin transformer."""

import dataclasses

import pytest
import torch

from medseg.blocks.swin_stage import StageOptions, SwinStage

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


@pytest.mark.usefixtures("unchecked_types")
@pytest.mark.parametrize("option", ["merging", "clipped_bias"])
def test_unknown_choices_are_refused_with_those_that_there_are(option):
    with pytest.raises(ValueError, match=f"{option} 'mergin' is none of monai, "):
        dataclasses.replace(OPTIONS, **{option: "mergin"})
