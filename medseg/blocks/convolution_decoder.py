"""A decoder of residual convolutions, with convolutions on its skip connections.

Source: Hatamizadeh et al. 2022, UNETR, https://arxiv.org/abs/2103.10504; Liu et al. 2024,
Swin-UMamba, section 2.3, https://arxiv.org/abs/2402.03302
"""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn

from medseg.blocks.axes import Stride
from medseg.blocks.head import Head
from medseg.blocks.residual import ResidualUnit, UpBlock

Features = Float[Tensor, "batch _ _ _ _"]


class ConvolutionDecoder(nn.Module):
    """Residual convolutions, on skip connections and on the way up to the image's grid.

    Args:
        in_channels: Channels of the image.
        scales: Features of each scale of the encoder, finest first.
        features: Features of the image's grid and of each scale but the coarsest.
        strides: From the image's grid to the coarsest scale.
        kernel: Voxels of a convolution along each axis.
        out_channels: Channels of the logits.
    """

    def __init__(
        self,
        in_channels: int,
        scales: Sequence[int],
        *,
        features: Sequence[int],
        strides: Sequence[Stride],
        kernel: Stride,
        out_channels: int,
    ) -> None:
        super().__init__()
        self.skips = nn.ModuleList(
            ResidualUnit(before, after, kernel=kernel)
            for before, after in zip((in_channels, *scales[:-1]), features, strict=True)
        )
        coarser = (*features[1:], scales[-1])
        self.ups = nn.ModuleList(
            UpBlock(low, fine, stride=stride, kernel=kernel)
            for low, fine, stride in zip(coarser, features, strides, strict=True)
        )
        self.last = ResidualUnit(features[0], features[0], kernel=kernel)
        self.heads = nn.ModuleList(Head(count, out_channels) for count in features[:-1])

    def forward(self, scales: Sequence[Features]) -> list[Tensor]:
        """Return the features of each scale but the coarsest, finest first.

        Args:
            scales: The image, and the features of the encoder by scale, finest first.
        """
        *fine, x = scales
        grids: list[Tensor] = []
        for skip, up, source in reversed(list(zip(self.skips, self.ups, fine, strict=True))):
            x = up(x, skip(source))
            grids.insert(0, x)
        return [self.last(x), *grids[1:]]

    def finest(
        self, grids: Sequence[Features], _image: Features
    ) -> Float[Tensor, "batch outputs i j k"]:
        """Return the logits on the grid of the image."""
        logits: Tensor = self.heads[0](grids[0])
        return logits.contiguous()

    def coarser(self, grids: Sequence[Features]) -> list[Tensor]:
        """Return the logits of each other scale but the coarsest, finest first."""
        pairs = list(zip(self.heads, grids[:-1], strict=True))
        return [head(x).contiguous() for head, x in pairs[1:]]
