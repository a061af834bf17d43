"""The Swin transformer as an encoder: tokens of each of its scales.

Source: Liu et al. 2021, Swin transformer, section 3.1, https://arxiv.org/abs/2103.14030
Differs from the reference code: three dimensions, any stride along each axis; the weights of images
fit under the same names but for the two maps of a block's feed-forward network.
"""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn

from medseg.blocks.axes import Embedded, Stride
from medseg.blocks.drop_path import rising_rates
from medseg.blocks.initialization import draw_linear_maps
from medseg.blocks.patch import PatchEmbedding
from medseg.blocks.swin_stage import StageOptions, SwinStage


class SwinEncoder(nn.Module):
    """A Swin transformer whose every scale is normalised on its way out, not on its way down."""

    def __init__(
        self,
        in_channels: int,
        *,
        features: int,
        depths: Sequence[int],
        heads: Sequence[int],
        strides: Sequence[Stride],
        drop_path: float,
        options: StageOptions,
    ) -> None:
        super().__init__()
        self.patch_embed = PatchEmbedding(in_channels, features, stride=strides[0], normalized=True)
        self.layers = nn.ModuleList(
            SwinStage(
                features * 2**n,
                heads=heads[n],
                stride=strides[n + 1] if n + 1 < len(depths) else None,
                drop_path=rates,
                options=options,
            )
            for n, rates in enumerate(rising_rates(drop_path, depths))
        )
        self.norms = nn.ModuleList(nn.LayerNorm(features * 2**n) for n in range(len(depths)))
        draw_linear_maps(self)

    def forward(
        self, image: Float[Tensor, "batch channels x y z"], after_embedding: Embedded | None = None
    ) -> list[Tensor]:
        """Return the tokens of each scale, channels last, finest first."""
        tokens = self.patch_embed(image)
        if after_embedding is not None:
            tokens = after_embedding(tokens)
        scales = []
        for stage, norm in zip(self.layers, self.norms, strict=True):
            attended, tokens = stage(tokens)
            scales.append(norm(attended))
        return scales
