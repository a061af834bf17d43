"""From voxels to tokens, and from tokens to fewer tokens.

Source: Liu et al. 2021, Swin transformer, section 3.1, https://arxiv.org/abs/2103.14030
Differs from the reference code: three dimensions, any stride along each axis.
"""

import itertools
from typing import Literal

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from medseg.blocks.axes import Stride, Tokens
from medseg.blocks.checks import check_choice

Merging = Literal["monai", "monai_v2", "legacy"]


class PatchEmbedding(nn.Module):
    """One token for each patch of voxels: a linear map of all its values, perhaps normalised."""

    def __init__(
        self, in_channels: int, features: int, *, stride: Stride, normalized: bool = False
    ) -> None:
        super().__init__()
        self.stride = stride
        self.proj = nn.Conv3d(in_channels, features, stride, stride)
        self.norm = nn.LayerNorm(features) if normalized else nn.Identity()

    def forward(self, image: Float[Tensor, "batch channels x y z"]) -> Tokens:
        """Embed; an image that the stride does not divide is filled with zeros at its end."""
        p, q, r = self.stride
        i, j, k = image.shape[2:]
        filled = functional.pad(image, (0, -k % r, 0, -j % q, 0, -i % p))
        patches = rearrange(filled, "b c (i p) (j q) (k r) -> b i j k (c p q r)", p=p, q=q, r=r)
        tokens: Tensor = self.norm(
            functional.linear(patches, self.proj.weight.flatten(1), self.proj.bias)
        )
        return tokens


class PatchMerging(nn.Module):
    """One token for each block of neighbours: their features side by side, normalised and mapped.

    The order of the neighbours is part of the format of the weights:

    - `monai`: by the sum of the offsets, then first axis first: 000 100 010 001 110 101 011 111.
    - `monai_v2`: lexicographic: 000 001 010 011 100 101 110 111.
    - `legacy`: 000 100 010 001 101 010 001 111, which sees two neighbours twice and two never; the
      weights released for Swin UNETR before MONAI 1.5 were trained with it.
    """

    def __init__(self, features: int, *, stride: Stride, order: Merging) -> None:
        super().__init__()
        self.features = features
        self.stride = stride
        self.order: Merging = order
        self.offsets = neighbours(stride, order)
        many = features * len(self.offsets)
        self.norm = nn.LayerNorm(many)
        self.reduction = nn.Linear(many, 2 * features, bias=False)

    def forward(self, tokens: Tokens) -> Float[Tensor, "batch less_i less_j less_k more"]:
        """Merge; a grid that the stride does not divide is filled with zeros at its end."""
        p, q, r = self.stride
        i, j, k = tokens.shape[1:4]
        tokens = functional.pad(tokens, (0, 0, 0, -k % r, 0, -j % q, 0, -i % p))
        blocks = rearrange(tokens, "b (i p) (j q) (k r) c -> b i j k p q r c", p=p, q=q, r=r)
        merged = rearrange(
            [blocks[..., a, b, c, :] for a, b, c in self.offsets], "n b i j k c -> b i j k (n c)"
        )
        reduced: Tensor = self.reduction(self.norm(merged))
        return reduced

    def inflated(self, name: str, weight: Tensor) -> Tensor | None:
        """Make a weight of the merging of volumes from that of the merging of images.

        A neighbour takes the weights of the one above it in the first slice, and the map an equal
        share of them. Images are merged two by two, first axis first, as Swin and VMamba do; None
        if ours merges otherwise in the plane.
        """
        p = self.stride[0]
        flat = neighbours((1, 2, 2), "monai")
        alone = self.order != "legacy" and self.stride[1:] == (2, 2)
        if not alone or weight.shape[-1] != len(flat) * self.features:
            return None
        chunks = dict(zip(flat, torch.split(weight, self.features, dim=-1), strict=True))
        repeated = torch.cat([chunks[0, b, c] for _, b, c in self.offsets], dim=-1)
        return repeated / p if name == "reduction.weight" else repeated


def neighbours(stride: Stride, order: Merging) -> list[Stride]:
    """List the offsets of a block of neighbours in the order in which they are merged.

    Raises:
        ValueError: The legacy order is asked for a stride other than 2 along each axis, or there is
            no such order.
    """
    check_choice("merging", order, Merging)
    offsets = [(a, b, c) for a, b, c in itertools.product(*map(range, stride))]
    if order == "monai_v2":
        return offsets
    if order == "monai":
        return sorted(offsets, key=lambda offset: (sum(offset), [-along for along in offset]))
    if stride != (2, 2, 2):
        raise ValueError(f"merging 'legacy' needs stride (2, 2, 2), got {stride}; use 'monai'")
    return [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 0, 1), (0, 1, 0), (0, 0, 1), (1, 1, 1)]


def halvings(patch: Stride) -> list[Stride]:
    """Divide a patch into strides of at most 2, finest first; a short axis is halved late.

    Raises:
        ValueError: It is not a power of 2 along each axis.
    """
    if any(p < 1 or p & (p - 1) for p in patch) or max(patch) == 1:
        raise ValueError(
            f"patch_embedding must be powers of 2 with one above 1, such as (1, 4, 4), got {patch}"
        )
    times = [p.bit_length() - 1 for p in patch]
    most = max(times)
    i, j, k = ([2 if most - n <= t else 1 for n in range(most)] for t in times)
    return list(zip(i, j, k, strict=True))
