"""A stage of attention in groups.

Source: Wu et al. 2022, D-Former, section 3.1, https://arxiv.org/abs/2201.00462
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from medseg.blocks.axes import Grid, Tokens
from medseg.blocks.checkpointing import chain
from medseg.blocks.group_attention import GroupAttention, ShortGrid
from medseg.blocks.position_encoding import PositionEncoding
from medseg.blocks.swin import AttentionBlock


@dataclass(frozen=True, slots=True)
class GroupOptions:
    """What all stages of a network share."""

    group: Grid
    short_grid: ShortGrid
    checkpointing: bool


class GroupStage(nn.Module):
    """A position encoding, then blocks of attention, local and global in turn."""

    def __init__(
        self, features: int, *, heads: int, drop_path: Sequence[float], options: GroupOptions
    ) -> None:
        super().__init__()
        self.checkpointing = options.checkpointing
        self.position = PositionEncoding(features)
        self.blocks = nn.ModuleList()
        for number, probability in enumerate(drop_path):
            attention = GroupAttention(
                features,
                heads=heads,
                size=options.group,
                scope="global" if number % 2 else "local",
                short_grid=options.short_grid,
            )
            self.blocks.append(
                AttentionBlock(features, attention, drop_path=probability, dropout=0.0)
            )

    def forward(self, tokens: Tokens) -> Tokens:
        """Transform the tokens."""
        return chain(self.blocks, self.position(tokens), checkpointing=self.checkpointing)


@torch.no_grad()
def calm_branches(stages: Sequence[nn.Module]) -> None:
    """Let what the blocks add begin small, as in GPT-2, so that high learning rates do no harm.

    Source: Radford et al. 2019, Language models are unsupervised multitask learners, section 2.3
    """
    blocks = [m for stage in stages for m in stage.modules() if isinstance(m, AttentionBlock)]
    for block in blocks:
        for name in ("attn.proj", "mlp.linear2"):
            block.get_parameter(f"{name}.weight").mul_((2 * len(blocks)) ** -0.5)
