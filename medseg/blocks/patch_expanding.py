"""From tokens to more tokens: the inverse of merging patches.

Source: Cao et al. 2021, Swin-Unet, section 3.4, https://arxiv.org/abs/2105.05537
Differs from the reference code: three dimensions, any stride along each axis; the refined grid may
be cut to that of the encoder.
"""

import math

from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from medseg.blocks.windows import Grid

Stride = tuple[int, int, int]
Tokens = Float[Tensor, "batch i j k features"]


class PatchExpanding(nn.Module):
    """A block of tokens for each token: a linear map, each of its parts normalised."""

    def __init__(self, in_features: int, out_features: int, *, stride: Stride) -> None:
        super().__init__()
        self.stride = stride
        self.expand = nn.Linear(in_features, math.prod(stride) * out_features, bias=False)
        self.norm = nn.LayerNorm(out_features)

    def forward(self, tokens: Tokens, grid: Grid) -> Float[Tensor, "batch fine_i fine_j fine_k _"]:
        """Expand, and keep of the refined grid what lies in `grid`."""
        return self.assemble(self.blocks(tokens), grid)

    def blocks(self, tokens: Tokens) -> Float[Tensor, "batch i j k block out"]:
        """Return the tokens of each block side by side, the last axis of a block fastest."""
        normalized: Tensor = self.norm(
            self.expand(tokens).unflatten(-1, (-1, self.norm.normalized_shape[0]))
        )
        return normalized

    def assemble(
        self, blocks: Float[Tensor, "batch i j k block values"], grid: Grid
    ) -> Float[Tensor, "batch fine_i fine_j fine_k values"]:
        """Put the blocks in their places, and keep what lies in `grid`."""
        p, q, r = self.stride
        fine = rearrange(blocks, "b i j k (p q r) c -> b (i p) (j q) (k r) c", p=p, q=q, r=r)
        return fine[:, : grid[0], : grid[1], : grid[2]]

    def inflated(self, name: str, weight: Tensor) -> Tensor | None:
        """Adapt a weight of the 2D block, whose slices all begin alike; None if it cannot be."""
        whole = self.get_parameter(name)
        slices = self.stride[0]
        fits = name == "expand.weight" and slices * weight.numel() == whole.numel()
        return weight.repeat(slices, 1) if fits else None
