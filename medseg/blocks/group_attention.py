"""Attention among the tokens of a group, near or spread over the grid, without a position bias.

Source: Wu et al. 2022, D-Former, sections 3.2 and 3.3, https://arxiv.org/abs/2201.00462
"""

from typing import Literal

from einops import rearrange
from torch import nn

from medseg.blocks.attention import attend
from medseg.blocks.axes import Grid, Tokens
from medseg.blocks.token_groups import Scope, group
from medseg.blocks.windows import partition, reverse

ShortGrid = Literal["clip", "whole"]


class GroupAttention(nn.Module):
    """Multi-head attention within groups.

    Args:
        features: Features of a token.
        heads: Attention heads.
        size: Tokens of a group along each axis.
        scope: Whether the tokens of a group are neighbours or spread over the grid.
        short_grid: Of a grid that is shorter than a group: "clip" shortens the group along that
            axis, "whole" makes the whole grid one group if it is shorter along the second axis.
    """

    def __init__(
        self, features: int, *, heads: int, size: Grid, scope: Scope, short_grid: ShortGrid
    ) -> None:
        super().__init__()
        self.heads = heads
        self.size = size
        self.scope: Scope = scope
        self.short_grid = short_grid
        self.qkv = nn.Linear(features, 3 * features)
        self.proj = nn.Linear(features, features)

    def forward(self, tokens: Tokens) -> Tokens:
        """Let every token attend to its group."""
        batch, i, j, k, _ = tokens.shape
        whole = self.short_grid == "whole" and j < self.size[1]
        size = (i, j, k) if whole else self.size
        groups = group(batch, (i, j, k), size, self.scope, tokens.device)
        slots = self.qkv(partition(tokens.flatten(0, 3), groups))
        qkv = rearrange(slots, "(g n) (t h d) -> g n t h d", n=groups.tokens, t=3, h=self.heads)
        mixed = rearrange(attend(qkv, None, groups), "g n h d -> (g n) (h d)")
        return reverse(self.proj(mixed), groups).view(tokens.shape)
