"""A stage of a Swin transformer: attention on one grid, then perhaps the step to a coarser one.

Source: Liu et al. 2021, Swin transformer, section 3.1, https://arxiv.org/abs/2103.14030
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from medseg.blocks.patch import Merging, PatchMerging, Stride
from medseg.blocks.swin import SwinBlock, Tokens
from medseg.blocks.window_attention import ClippedBias


@dataclass(frozen=True, slots=True)
class StageOptions:
    """What all stages of a network share."""

    window: tuple[int, int, int]
    merging: Merging
    clipped_bias: ClippedBias
    dropout: float
    checkpointing: bool
    mask_filling: bool = False


class SwinStage(nn.Module):
    """Blocks of attention in windows, every other one shifted, then the merging of neighbours."""

    def __init__(
        self,
        features: int,
        *,
        heads: int,
        stride: Stride | None,
        drop_path: Sequence[float],
        options: StageOptions,
    ) -> None:
        super().__init__()
        i, j, k = options.window
        self.checkpointing = options.checkpointing
        self.blocks = nn.ModuleList(
            SwinBlock(
                features,
                heads=heads,
                window=options.window,
                shift=(i // 2, j // 2, k // 2) if number % 2 else (0, 0, 0),
                clipped_bias=options.clipped_bias,
                drop_path=probability,
                dropout=options.dropout,
                mask_filling=options.mask_filling,
            )
            for number, probability in enumerate(drop_path)
        )
        self.downsample = (
            PatchMerging(features, stride=stride, order=options.merging)
            if stride is not None
            else nn.Identity()
        )

    def forward(
        self, tokens: Tokens
    ) -> tuple[Tokens, Float[Tensor, "batch less_i less_j less_k more"]]:
        """Return the transformed tokens, and these merged."""
        for block in self.blocks:
            if self.checkpointing and torch.is_grad_enabled():
                tokens = checkpoint(block, tokens, use_reentrant=False)
            else:
                tokens = block(tokens)
        return tokens, self.downsample(tokens)


def check_stages(stages: int, **options: Sequence[object]) -> None:
    """Refuse options that do not have one entry for each stage.

    Raises:
        ValueError: One has fewer or more.
    """
    for name, entries in options.items():
        if len(entries) != stages:
            raise ValueError(
                f"{name} need {stages} entries, one for each stage, got {len(entries)}"
            )


def check_heads(features: int, heads: Sequence[int], name: str = "heads") -> None:
    """Refuse heads that do not divide the features of their stage, which double with each.

    Raises:
        ValueError: Some do not.
    """
    for stage, count in enumerate(heads):
        if features * 2**stage % count:
            raise ValueError(
                f"{count} {name} do not divide the {features * 2**stage} features of stage "
                f"{stage + 1}; choose features and {name} that do, such as 24 and (3, 6, 12, 24)"
            )
