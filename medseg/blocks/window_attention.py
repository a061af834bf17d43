"""Attention among the tokens of a window, with a learned bias for each relative position.

Source: Liu et al. 2021, Swin transformer, sections 3.2, https://arxiv.org/abs/2103.14030
"""

import math
from typing import Literal

import torch
from einops import rearrange
from jaxtyping import Float, Int64
from torch import Tensor, nn

from medseg.blocks.attention import attend
from medseg.blocks.axes import Grid, Tokens
from medseg.blocks.inflation import resized_table, side_of_window
from medseg.blocks.windows import cut, partition, reverse

ClippedBias = Literal["monai", "geometric", "unclipped"]

TABLE = "relative_position_bias_table"


class WindowAttention(nn.Module):
    """Multi-head attention within windows.

    What becomes of a window that is larger than the grid:

    - `monai`: it is clipped, and takes the first entries of the whole window's table of biases.
    - `geometric`: it is clipped, and takes the entries of the same offsets.
    - `unclipped`: the grid is filled with zeros up to a whole window, and shifted in it.

    With `mask_filling`, no token sees the zeros that a grid is filled up with to whole windows.
    """

    ROUNDED = (TABLE,)
    """Weights that may be rounded to bfloat16."""

    def __init__(
        self,
        features: int,
        *,
        heads: int,
        window: Grid,
        shift: Grid,
        clipped_bias: ClippedBias,
        mask_filling: bool = False,
    ) -> None:
        super().__init__()
        self.heads = heads
        self.window = window
        self.shift = shift
        self.clipped_bias = clipped_bias
        self.mask_filling = mask_filling
        entries = math.prod(2 * w - 1 for w in window)
        self.relative_position_bias_table = nn.Parameter(torch.empty(entries, heads))
        nn.init.trunc_normal_(self.relative_position_bias_table, std=0.02)
        self.relative_position_index: Tensor
        self.register_buffer("relative_position_index", relative_positions(window))
        self.qkv = nn.Linear(features, 3 * features)
        self.proj = nn.Linear(features, features)

    def forward(self, tokens: Tokens) -> Tokens:
        """Let every token attend to its window."""
        batch, i, j, k, _ = tokens.shape
        windows = cut(
            batch,
            (i, j, k),
            self.window,
            self.shift,
            tokens.device,
            clip=self.clipped_bias != "unclipped",
            mask_filling=self.mask_filling,
        )
        slots = self.qkv(partition(tokens.flatten(0, 3), windows))
        qkv = rearrange(slots, "(w n) (t h d) -> w n t h d", n=windows.tokens, t=3, h=self.heads)
        mixed = rearrange(attend(qkv, self.bias(windows.size), windows), "w n h d -> (w n) (h d)")
        return reverse(self.proj(mixed), windows).view(tokens.shape)

    def bias(self, size: Grid) -> Float[Tensor, "heads tokens tokens"]:
        """Look up the bias of each pair of tokens of a window, perhaps clipped to `size`."""
        n = math.prod(size)
        index = self.relative_position_index
        if self.clipped_bias == "monai":
            index = index[:n, :n]
        elif size != self.window:
            kept = torch.arange(len(index), device=index.device).view(self.window)
            kept = kept[: size[0], : size[1], : size[2]].flatten()
            index = index[kept][:, kept]
        return self.relative_position_bias_table.t()[:, index.flatten()].view(-1, n, n)

    def inflated(self, name: str, weight: Tensor) -> Tensor | None:
        """Make the table of biases from that of an image's square window."""
        return self._resized(weight, axes=2) if name == TABLE else weight

    def adapted(self, name: str, weight: Tensor) -> Tensor | None:
        """Make the table of biases from that of another, cubic window."""
        return self._resized(weight, axes=3) if name == TABLE else weight

    def _resized(self, table: Tensor, *, axes: int) -> Tensor | None:
        """Make the table from that of a window as wide along each axis, or return None."""
        width = side_of_window(len(table), axes)
        if table.ndim != 2 or width is None:
            return None
        return resized_table(table, (width if axes == 3 else 1, width, width), self.window)


def relative_positions(window: Grid) -> Int64[Tensor, "tokens tokens"]:
    """Number the offset between each two tokens of a window."""
    steps = torch.stack(torch.meshgrid(*map(torch.arange, window), indexing="ij")).flatten(1)
    offsets = steps[:, :, None] - steps[:, None, :]
    number = torch.zeros_like(offsets[0])
    for along, w in zip(offsets, window, strict=True):
        number = number * (2 * w - 1) + along + w - 1
    return number
