"""A decoder of state-space blocks: the mirror image of a hierarchical encoder.

Source: Liu et al. 2024, Swin-UMamba, section 2.4, https://arxiv.org/abs/2402.03302
Differs from the reference code: three dimensions, any stride along each axis. Logits are computed
before the voxels of a patch are put in their places.
"""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn

from medseg.blocks.axes import Stride
from medseg.blocks.drop_path import rising_rates
from medseg.blocks.head import Head
from medseg.blocks.patch_expanding import ExpandingHead, Joining, PatchExpanding
from medseg.blocks.state_space import StateSpaceOptions, StateSpaceStage

Features = Float[Tensor, "batch _ _ _ _"]
"""The axes of features or tokens on a grid of any size."""


class MambaDecoder(nn.Module):
    """State-space blocks on the way up, then one expansion to the image's grid.

    Args:
        scales: Features of each scale of the encoder, finest first.
        options: Of the state-space blocks.
        strides: From the image's grid to the coarsest scale.
        drop_path: Probability of leaving out the first block; it falls linearly to 0 at the last.
        checkpointing: Compute the blocks again in the backward pass.
        out_channels: Channels of the logits.
    """

    DEPTH = 2

    def __init__(
        self,
        scales: Sequence[int],
        options: StateSpaceOptions,
        *,
        strides: Sequence[Stride],
        drop_path: float,
        checkpointing: bool,
        out_channels: int,
    ) -> None:
        super().__init__()
        embedding, *merges = strides
        rates = rising_rates(drop_path, [self.DEPTH] * len(merges))[::-1]
        fine, up = scales[-2::-1], merges[::-1]
        self.stages = nn.ModuleList(
            StateSpaceStage(count, options, drop_path=falling[::-1], checkpointing=checkpointing)
            for count, falling in zip(fine, rates, strict=True)
        )
        self.expand_layers = nn.ModuleList(
            PatchExpanding(2 * count, count, stride=stride)
            for count, stride in zip(fine, up, strict=True)
        )
        self.joining = nn.ModuleList(Joining(count) for count in fine)
        self.head = ExpandingHead(scales[0], out_channels, patch=embedding, bias=True)
        self.heads = nn.ModuleList(Head(count, out_channels) for count in scales[:-1])

    def forward(self, scales: Sequence[Features]) -> list[Tensor]:
        """Return the tokens of each scale but the coarsest, finest first.

        Args:
            scales: The image, which is not looked at, and the features of the encoder by scale,
                finest first.
        """
        _, *skips, tokens = (scale.permute(0, 2, 3, 4, 1) for scale in scales)
        grids: list[Tensor] = []
        steps = zip(self.expand_layers, self.joining, self.stages, reversed(skips), strict=True)
        for expand, join, stage, skip in steps:
            i, j, k = skip.shape[1:4]
            tokens = stage(join(expand(tokens, (i, j, k)), skip))
            grids.insert(0, tokens)
        return grids

    def finest(
        self, grids: Sequence[Features], image: Features
    ) -> Float[Tensor, "batch outputs i j k"]:
        """Return the logits on the grid of the image."""
        i, j, k = image.shape[2:]
        logits: Tensor = self.head(grids[0], (i, j, k))
        return logits

    def coarser(self, grids: Sequence[Features]) -> list[Tensor]:
        """Return the logits of each scale, finest first."""
        pairs = zip(self.heads, grids, strict=True)
        return [head(tokens.permute(0, 4, 1, 2, 3)).contiguous() for head, tokens in pairs]
