"""A decoder of state-space blocks: the mirror image of a hierarchical encoder.

Source: Liu et al. 2024, Swin-UMamba, section 2.4, https://arxiv.org/abs/2402.03302
Differs from the reference code: three dimensions, any stride along each axis. Features are not
concatenated with those of the skip connection, the weights are split instead.
"""

import itertools
from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from medseg.blocks.head import Head
from medseg.blocks.patch_expanding import PatchExpanding
from medseg.blocks.state_space import StateSpaceOptions, StateSpaceStage

Features = Float[Tensor, "batch _ _ _ _"]
Tokens = Float[Tensor, "batch i j k features"]
Stride = tuple[int, int, int]


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
        blocks = self.DEPTH * len(merges)
        rates = iter([drop_path * (1 - n / (blocks - 1)) for n in range(blocks)])
        fine, up = scales[-2::-1], merges[::-1]
        self.stages = nn.ModuleList(
            StateSpaceStage(
                count,
                options,
                drop_path=list(itertools.islice(rates, self.DEPTH)),
                checkpointing=checkpointing,
            )
            for count in fine
        )
        self.expand_layers = nn.ModuleList(
            PatchExpanding(2 * count, count, stride=stride)
            for count, stride in zip(fine, up, strict=True)
        )
        self.expand_layers.append(PatchExpanding(scales[0], scales[0], stride=embedding))
        self.concat_back_dim = nn.ModuleList(nn.Linear(2 * count, count) for count in fine)
        self.heads = nn.ModuleList(Head(count, out_channels) for count in (scales[0], *scales[:-1]))

    def forward(self, image: Features, scales: Sequence[Features]) -> list[Tensor]:
        """Return the features that have a head, finest first."""
        *skips, x = (scale.permute(0, 2, 3, 4, 1) for scale in scales)
        grids = []
        *ups, last = self.expand_layers
        for up, mix, stage, skip in zip(
            ups, self.concat_back_dim, self.stages, reversed(skips), strict=True
        ):
            x = stage(join(mix, up(x, tuple(skip.shape[1:4])), skip))
            grids.append(x)
        fine = last(x, tuple(image.shape[2:]))
        return [grid.permute(0, 4, 1, 2, 3) for grid in (fine, *reversed(grids))]


def join(mix: nn.Module, low: Tokens, skip: Tokens) -> Float[Tensor, "batch i j k fewer"]:
    """Map the features that `low` and `skip` have together."""
    weight, bias = mix.get_parameter("weight"), mix.get_parameter("bias")
    of_low, of_skip = weight.chunk(2, dim=1)
    return functional.linear(low, of_low, bias) + functional.linear(skip, of_skip)
