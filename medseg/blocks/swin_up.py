"""A step of a decoder that attends in windows.

Source: Lin et al. 2022, DS-TransUNet, https://doi.org/10.1109/TIM.2022.3178991,
https://arxiv.org/abs/2106.06716
Differs from the reference code: three dimensions, any stride, linear upsampling.
"""

from torch import Tensor, nn

from medseg.blocks.axes import Features, Stride
from medseg.blocks.convolution import (
    BiasedConvolution,
    DecoderOptions,
    Joined,
    NormalizedConvolution,
    refine,
)
from medseg.blocks.swin_stage import StageOptions, SwinStage


class SwinUp(nn.Module):
    """Refine a coarse grid, let it attend in windows, and join the features of the encoders."""

    def __init__(
        self,
        features: int,
        *,
        heads: int,
        stride: Stride,
        drop_path: float,
        options: DecoderOptions,
        attention: StageOptions,
    ) -> None:
        super().__init__()
        half, quarter = features // 2, features // 4
        self.stride = stride
        self.upsampling = options.upsampling
        self.up = NormalizedConvolution(features, half, kernel=options.kernel)
        self.attention = SwinStage(
            half, heads=heads, stride=None, drop_path=[0.0, drop_path], options=attention
        )
        self.of_low = BiasedConvolution(half, quarter, kernel=1, rectified=True)
        self.of_skip = BiasedConvolution(half, quarter, kernel=1, rectified=True)
        self.join = BiasedConvolution(half, half, kernel=options.kernel, rectified=True)

    def forward(self, low: Features, skip: Joined) -> Joined:
        """Return features on the grid of `skip`."""
        x = self.up(refine(low, self.stride, skip, self.upsampling))
        attended, _ = self.attention(x.permute(0, 2, 3, 4, 1))
        x = attended.permute(0, 4, 1, 2, 3)
        joined: Tensor = self.join(self.of_skip(skip), self.of_low(x))
        return joined
