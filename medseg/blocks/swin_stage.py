"""A stage of a Swin transformer: attention on one grid, then perhaps the step to a coarser one.

Source: Liu et al. 2021, Swin transformer, section 3.1, https://arxiv.org/abs/2103.14030
"""

from collections.abc import Sequence
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor, nn

from medseg.blocks.axes import Grid, Stride, Tokens
from medseg.blocks.checkpointing import chain
from medseg.blocks.checks import check_choice, check_probabilities
from medseg.blocks.patch import Merging, PatchMerging
from medseg.blocks.swin import SwinBlock
from medseg.blocks.window_attention import ClippedBias


@dataclass(frozen=True, slots=True)
class StageOptions:
    """What all stages of a network share."""

    window: Grid
    merging: Merging
    clipped_bias: ClippedBias
    dropout: float
    checkpointing: bool
    mask_filling: bool = False

    def __post_init__(self) -> None:
        check_choice("merging", self.merging, Merging)
        check_choice("clipped_bias", self.clipped_bias, ClippedBias)
        check_probabilities(dropout=self.dropout)


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
        tokens = chain(self.blocks, tokens, checkpointing=self.checkpointing)
        return tokens, self.downsample(tokens)
