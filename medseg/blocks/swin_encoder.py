"""The Swin transformer as an encoder: tokens of each of its scales.

Source: Liu et al. 2021, Swin transformer, section 3.1, https://arxiv.org/abs/2103.14030
Differs from the reference code: three dimensions, any stride along each axis; the weights of images
fit under the same names but for the two maps of a block's feed-forward network.
"""

import itertools
from collections.abc import Callable, Sequence

from jaxtyping import Float
from torch import Tensor, nn

from medseg.blocks.patch import PatchEmbedding, Stride
from medseg.blocks.swin_stage import StageOptions, SwinStage

Embedded = Callable[[Tensor], Tensor]
"""A hook that may replace the tokens of the patch embedding, as masked pre-training does."""


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
        blocks = sum(depths)
        rates = iter([drop_path * n / max(1, blocks - 1) for n in range(blocks)])
        self.layers = nn.ModuleList(
            SwinStage(
                features * 2**n,
                heads=heads[n],
                stride=strides[n + 1] if n + 1 < len(depths) else None,
                drop_path=list(itertools.islice(rates, depths[n])),
                options=options,
            )
            for n in range(len(depths))
        )
        self.norms = nn.ModuleList(nn.LayerNorm(features * 2**n) for n in range(len(depths)))
        self.apply(_initialize)

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


def _initialize(module: nn.Module) -> None:
    """Draw the weights of a linear map as the Swin transformer does."""
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
