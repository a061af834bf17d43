"""From tokens to more tokens: the mirror image of patch merging.

Source: Cao et al. 2021, Swin-Unet, sections 3.4 and 3.5, https://arxiv.org/abs/2105.05537
Differs from the reference code: three dimensions, any stride along each axis; the refined grid may
be cut to that of the encoder; what is joined is not concatenated, the weights are split instead.
"""

import math

from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from medseg.blocks.axes import Grid, Stride, Tokens


class PatchExpanding(nn.Module):
    """A block of tokens for each token: a linear map of its features, each part normalised."""

    def __init__(self, features: int, out_features: int, *, stride: Stride) -> None:
        super().__init__()
        self.stride = stride
        self.expand = nn.Linear(features, math.prod(stride) * out_features, bias=False)
        self.norm = nn.LayerNorm(out_features)

    def forward(
        self, tokens: Tokens, grid: Grid | None = None
    ) -> Float[Tensor, "batch more_i more_j more_k fewer"]:
        """Refine the grid by the stride; of the result keep what lies in `grid`."""
        return self.assemble(self.blocks(tokens), grid)

    def blocks(self, tokens: Tokens) -> Float[Tensor, "batch i j k block fewer"]:
        """Return the tokens of each block side by side, those along the last axis first."""
        parts = self.expand(tokens).unflatten(-1, (math.prod(self.stride), -1))
        normalized: Tensor = self.norm(parts)
        return normalized

    def assemble(
        self, blocks: Float[Tensor, "batch i j k block values"], grid: Grid | None = None
    ) -> Float[Tensor, "batch more_i more_j more_k values"]:
        """Put the parts of each block in their places; keep what lies in `grid`."""
        p, q, r = self.stride
        fine = rearrange(blocks, "b i j k (p q r) c -> b (i p) (j q) (k r) c", p=p, q=q, r=r)
        return fine if grid is None else fine[:, : grid[0], : grid[1], : grid[2]]

    def inflated(self, name: str, weight: Tensor) -> Tensor | None:
        """Make the map of volumes from that of images: all slices of a block begin alike.

        None if ours expands otherwise in the plane: images are expanded alike along both axes.
        """
        p, q, r = self.stride
        if q != r:
            return None
        return weight.repeat(p, 1) if name == "expand.weight" else weight


class ExpandingHead(nn.Module):
    """Expand each token to a patch of voxels, and map each voxel to its logits."""

    def __init__(self, features: int, out_channels: int, *, patch: Stride, bias: bool) -> None:
        super().__init__()
        self.expanding = PatchExpanding(features, features, stride=patch)
        self.linear = nn.Linear(features, out_channels, bias=bias)

    def forward(self, tokens: Tokens, grid: Grid) -> Float[Tensor, "batch outputs x y z"]:
        """Return logits on `grid`."""
        logits = self.linear(self.expanding.blocks(tokens))  # few, and only these are rearranged
        fine = self.expanding.assemble(logits, grid)
        return rearrange(fine, "b i j k c -> b c i j k").contiguous()

    def inflated(self, name: str, weight: Tensor) -> Tensor | None:
        """Make the linear map from the convolution of single pixels that it is elsewhere."""
        return self.adapted(name, weight)

    def adapted(self, name: str, weight: Tensor) -> Tensor | None:
        """Make the linear map from the convolution of single voxels that it is elsewhere."""
        return weight.flatten(1) if name == "linear.weight" else weight


class Joining(nn.Module):
    """Map the features of the decoder and of a skip, side by side, to as many as one has."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.linear = nn.Linear(2 * features, features)

    def forward(self, tokens: Tokens, skip: Tokens) -> Tokens:
        """Join them."""
        of_tokens, of_skip = self.linear.weight.chunk(2, dim=1)
        joined = functional.linear(tokens, of_tokens, self.linear.bias)
        return joined + functional.linear(skip, of_skip)
