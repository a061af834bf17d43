"""Interactive fusion: two grids of tokens exchange a summary, each within its own attention.

Source: Lin et al. 2022, DS-TransUNet, transformer interactive fusion (TIF),
https://doi.org/10.1109/TIM.2022.3178991, https://arxiv.org/abs/2106.06716
Differs from the reference code: three dimensions; what becomes of the summary behind the attention
is dropped there, hence not computed here; keys and values may be pooled, or attention be kept to
windows, where the grid is large.
"""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from medseg.blocks.axes import Grid, Stride, Tokens
from medseg.blocks.checks import check_choice, check_counts
from medseg.blocks.convolution import DecoderOptions, DoubleConvolution, refine
from medseg.blocks.swin import FeedForward
from medseg.blocks.windows import cut, partition, reverse

Summary = Float[Tensor, "batch features"]
TifAttention = Literal["global", "pooled_kv", "window"]


@dataclass(frozen=True, slots=True)
class FusionOptions:
    """How far the tokens of one grid see each other; the summary of the other grid all see.

    Attributes:
        attention: `global`: each sees every other; `pooled_kv`: each sees means over blocks of
            neighbours; `window`: each sees its window.
        max_tokens: Means that there may be; of fewer tokens, none is pooled.
        window: Tokens of a window along each axis.
    """

    attention: TifAttention
    max_tokens: int
    window: Grid

    def __post_init__(self) -> None:
        check_choice("tif_attention", self.attention, TifAttention)
        check_counts(max_tokens=self.max_tokens)


class SummaryAttention(nn.Module):
    """Attention of the tokens of a grid to each other and to the summary of another grid."""

    def __init__(
        self, features: int, *, heads: int, head_features: int, options: FusionOptions
    ) -> None:
        super().__init__()
        self.heads = heads
        self.options = options
        self.inner = heads * head_features
        self.qkv = nn.Linear(features, 3 * self.inner, bias=False)
        self.proj = nn.Linear(self.inner, features)

    def forward(self, tokens: Tokens, summary: Summary) -> Tokens:
        """Let every token attend."""
        if self.options.attention == "window":
            mixed = self._in_windows(tokens, summary)
        else:
            most = self.options.max_tokens if self.options.attention == "pooled_kv" else None
            mixed = self._everywhere(tokens, summary, most)
        return self.proj(mixed).view(tokens.shape)

    def _everywhere(self, tokens: Tensor, summary: Tensor, most: int | None) -> Tensor:
        """Attend to the whole grid, or to at most `most` means over its parts."""
        seen = tokens if most is None else pooled(tokens, most)
        seen = torch.cat([summary[:, None], seen.flatten(1, 3)], dim=1)
        of_queries, of_others = self.qkv.weight[: self.inner], self.qkv.weight[self.inner :]
        q = rearrange(
            functional.linear(tokens.flatten(1, 3), of_queries),
            "b n (h d) -> b h n d",
            h=self.heads,
        )
        k, v = rearrange(
            functional.linear(seen, of_others), "b n (t h d) -> t b h n d", t=2, h=self.heads
        )
        mixed = functional.scaled_dot_product_attention(q, k, v)
        return rearrange(mixed, "b h n d -> b n (h d)")

    def _in_windows(self, tokens: Tensor, summary: Tensor) -> Tensor:
        """Attend to the window, without the places that the grid does not fill."""
        batch, i, j, k, _ = tokens.shape
        windows = cut(batch, (i, j, k), self.options.window, (0, 0, 0), tokens.device)
        slots = partition(self.qkv(tokens.flatten(0, 3)), windows)
        slots = rearrange(slots, "(w n) (t h d) -> t w h n d", n=windows.tokens, t=3, h=self.heads)
        q, keys, values = slots
        of_summary = functional.linear(summary, self.qkv.weight[self.inner :])
        # The cases of a batch lie next to each other, window by window.
        repeated = of_summary.repeat(q.shape[0] // batch, 1)
        key, value = rearrange(repeated, "w (t h d) -> t w h 1 d", t=2, h=self.heads)
        keys, values = torch.cat([key, keys], dim=2), torch.cat([value, values], dim=2)
        mask = None
        if len(windows.empty):
            filled = tokens.new_ones(len(windows.source), dtype=torch.bool)
            filled = filled.index_fill(0, windows.empty, value=False).view(-1, windows.tokens)
            mask = functional.pad(filled, (1, 0), value=True)[:, None, None]
        mixed = functional.scaled_dot_product_attention(q, keys, values, attn_mask=mask)
        return reverse(rearrange(mixed, "w h n d -> (w n) (h d)"), windows)


def pooled(tokens: Tokens, most: int) -> Float[Tensor, "batch less_i less_j less_k features"]:
    """Average neighbours so that at most `most` tokens are left, about equally along each axis."""
    grid = pooled_grid((tokens.shape[1], tokens.shape[2], tokens.shape[3]), most)
    if grid == tuple(tokens.shape[1:4]):
        return tokens
    means = functional.adaptive_avg_pool3d(tokens.permute(0, 4, 1, 2, 3), grid)
    return means.permute(0, 2, 3, 4, 1)


def pooled_grid(grid: Grid, most: int) -> Grid:
    """Shorten the longest axis, time and again, until at most `most` tokens are left."""
    left = list(grid)
    while math.prod(left) > most:
        left[left.index(max(left))] -= 1
    i, j, k = left
    return i, j, k


class SummaryBlock(nn.Module):
    """Attention that includes a summary, then a feed-forward network; each is added."""

    def __init__(
        self, features: int, *, heads: int, head_features: int, hidden: int, options: FusionOptions
    ) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(features)
        self.attn = SummaryAttention(
            features, heads=heads, head_features=head_features, options=options
        )
        self.norm2 = nn.LayerNorm(features)
        self.mlp = FeedForward(features, hidden, dropout=0.0)

    def forward(self, tokens: Tokens, summary: Summary) -> Tokens:
        """Transform the tokens."""
        tokens = tokens + self.attn(self.norm1(tokens), self.norm1(summary))
        return tokens + self.mlp(self.norm2(tokens))


class InteractiveFusion(nn.Module):
    """Each grid attends to itself and to the mean of the other; the widths are the published."""

    def __init__(self, fine_features: int, coarse_features: int, *, options: FusionOptions) -> None:
        super().__init__()
        self.fine_norm = nn.LayerNorm(fine_features)
        self.coarse_norm = nn.LayerNorm(coarse_features)
        self.fine_to_coarse = nn.Linear(fine_features, coarse_features)
        self.coarse_to_fine = nn.Linear(coarse_features, fine_features)
        self.fine = SummaryBlock(
            fine_features, heads=1, head_features=64, hidden=256, options=options
        )
        self.coarse = SummaryBlock(
            coarse_features, heads=3, head_features=32, hidden=128, options=options
        )

    def forward(
        self,
        fine: Float[Tensor, "batch i j k many"],
        coarse: Float[Tensor, "batch less_i less_j less_k few"],
    ) -> tuple[Float[Tensor, "batch i j k many"], Float[Tensor, "batch less_i less_j less_k few"]]:
        """Return both grids, each with what it learned of the other."""
        of_fine = self.fine_to_coarse(self.fine_norm(fine).mean((1, 2, 3)))
        of_coarse = self.coarse_to_fine(self.coarse_norm(coarse).mean((1, 2, 3)))
        return self.fine(fine, of_coarse), self.coarse(coarse, of_fine)


class Fusion(nn.Module):
    """The two encoders' tokens of one scale, after their exchange, as one grid of features."""

    def __init__(
        self,
        features: int,
        coarse_features: int,
        *,
        ratio: Stride,
        fusion: FusionOptions,
        options: DecoderOptions,
    ) -> None:
        super().__init__()
        self.ratio = ratio
        self.upsampling = options.upsampling
        self.exchange = InteractiveFusion(features, coarse_features, options=fusion)
        self.merge = DoubleConvolution(features + coarse_features, features, kernel=options.kernel)

    def forward(
        self,
        fine: Float[Tensor, "batch i j k many"],
        coarse: Float[Tensor, "batch less_i less_j less_k few"],
    ) -> Float[Tensor, "batch many i j k"]:
        """Return features on the fine grid."""
        fine, coarse = (t.permute(0, 4, 1, 2, 3) for t in self.exchange(fine, coarse))
        merged: Tensor = self.merge(fine, refine(coarse, self.ratio, fine, self.upsampling))
        return merged
