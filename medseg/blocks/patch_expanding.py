"""From tokens to more tokens: the mirror image of patch merging.

Source: Cao et al. 2021, Swin-Unet, section 3.5, https://arxiv.org/abs/2105.05537
Differs from the reference code: three dimensions, any stride along each axis.
"""

import math

from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

Stride = tuple[int, int, int]


class PatchExpanding(nn.Module):
    """A block of tokens for each token: a linear map of its features, each part normalised."""

    def __init__(self, features: int, out_features: int, *, stride: Stride) -> None:
        super().__init__()
        self.stride = stride
        self.expand = nn.Linear(features, math.prod(stride) * out_features, bias=False)
        self.norm = nn.LayerNorm(out_features)

    def forward(
        self, tokens: Float[Tensor, "batch i j k features"]
    ) -> Float[Tensor, "batch more_i more_j more_k fewer"]:
        """Refine the grid by the stride."""
        p, q, r = self.stride
        blocks = rearrange(
            self.expand(tokens), "b i j k (p q r c) -> b (i p) (j q) (k r) c", p=p, q=q, r=r
        )
        refined: Tensor = self.norm(blocks)
        return refined

    def inflated(self, name: str, weight: Tensor) -> Tensor:
        """Adapt the weight of a 2D map: all slices of a block begin alike.

        Raises:
            ValueError: `weight` is not the linear map's, or its blocks have another size in plane.
        """
        whole = self.get_parameter(name)
        if name != "expand.weight" or self.stride[0] * weight.numel() != whole.numel():
            raise ValueError(f"{name} cannot be made from a weight of shape {tuple(weight.shape)}")
        return weight.repeat(self.stride[0], 1)
