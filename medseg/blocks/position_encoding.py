"""Positions told by a convolution: what lies at the border sees zeros.

Source: Chu et al. 2021, Conditional positional encodings, section 4.2,
https://arxiv.org/abs/2102.10882
Differs from the reference code: three dimensions.
"""

from torch import Tensor, nn

from medseg.blocks.axes import Tokens
from medseg.blocks.depthwise import DepthwiseConvolution


class PositionEncoding(nn.Module):
    """Add to each token what a 3x3x3 convolution makes of its neighbourhood, feature by feature."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.conv = DepthwiseConvolution(features)

    def forward(self, tokens: Tokens) -> Tokens:
        """Encode the positions."""
        encoding: Tensor = self.conv(tokens.permute(0, 4, 1, 2, 3))
        return tokens + encoding.permute(0, 2, 3, 4, 1)
