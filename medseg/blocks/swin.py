"""The Swin transformer block.

Source: Liu et al. 2021, Swin transformer, section 3.2, https://arxiv.org/abs/2103.14030
"""

from torch import nn
from torch.nn import functional

from medseg.blocks.axes import Grid, Tokens
from medseg.blocks.drop_path import DropPath
from medseg.blocks.window_attention import ClippedBias, WindowAttention


class FeedForward(nn.Module):
    """Two linear maps with a GELU between them."""

    def __init__(self, features: int, hidden: int, *, dropout: float) -> None:
        super().__init__()
        self.linear1 = nn.Linear(features, hidden)
        self.linear2 = nn.Linear(hidden, features)
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens: Tokens) -> Tokens:
        """Transform each token alone."""
        return self.dropout(self.linear2(self.dropout(functional.gelu(self.linear1(tokens)))))


class AttentionBlock(nn.Module):
    """Attention, then a feed-forward network, each normalised before and added after."""

    def __init__(
        self, features: int, attention: nn.Module, *, drop_path: float, dropout: float
    ) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(features)
        self.attn = attention
        self.norm2 = nn.LayerNorm(features)
        self.mlp = FeedForward(features, 4 * features, dropout=dropout)
        self.dropout = nn.Dropout(dropout)
        self.drop_path = DropPath(drop_path)

    def forward(self, tokens: Tokens) -> Tokens:
        """Transform the tokens."""
        tokens = tokens + self.drop_path(self.dropout(self.attn(self.norm1(tokens))))
        return tokens + self.drop_path(self.mlp(self.norm2(tokens)))


class SwinBlock(AttentionBlock):
    """The block with attention in windows."""

    def __init__(
        self,
        features: int,
        *,
        heads: int,
        window: Grid,
        shift: Grid,
        clipped_bias: ClippedBias,
        drop_path: float,
        dropout: float,
        mask_filling: bool = False,
    ) -> None:
        attention = WindowAttention(
            features,
            heads=heads,
            window=window,
            shift=shift,
            clipped_bias=clipped_bias,
            mask_filling=mask_filling,
        )
        super().__init__(features, attention, drop_path=drop_path, dropout=dropout)
