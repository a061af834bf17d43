"""The decoder's step with attention."""

import torch

from medseg.blocks.convolution import DecoderOptions
from medseg.blocks.swin_stage import StageOptions
from medseg.blocks.swin_up import SwinUp

ATTENTION = StageOptions(
    window=(2, 2, 2),
    merging="monai",
    clipped_bias="geometric",
    dropout=0.0,
    checkpointing=False,
)


def test_a_step_up_ends_where_the_skip_connection_does_and_uses_both():
    torch.manual_seed(0)
    up = SwinUp(
        8,
        heads=2,
        stride=(1, 2, 2),
        drop_path=0.0,
        options=DecoderOptions((1, 3, 3), "trilinear"),
        attention=ATTENTION,
    )
    low, skip = torch.randn(1, 8, 3, 3, 4), torch.randn(1, 4, 3, 5, 8)
    result = up(low, skip)
    assert result.shape == skip.shape
    assert not torch.equal(up(low + torch.randn_like(low), skip), result)
    assert not torch.equal(up(low, skip + 1), result)


def test_only_the_second_block_may_be_left_out():
    up = SwinUp(
        8,
        heads=2,
        stride=(2, 2, 2),
        drop_path=0.2,
        options=DecoderOptions((3, 3, 3), "nearest"),
        attention=ATTENTION,
    )
    assert [block.drop_path.probability for block in up.attention.blocks] == [0.0, 0.2]
    assert [block.attn.shift for block in up.attention.blocks] == [(0, 0, 0), (1, 1, 1)]
