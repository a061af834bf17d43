"""How much each voxel of a patch counts where patches overlap.

Both ways are Gaussian. The one of nnU-Net has its peak half a voxel later where a patch is even,
and falls off without a floor: its models are applied with it.

Source: Isensee et al. 2021, nnU-Net, https://doi.org/10.1038/s41592-020-01008-z, supplement.
"""

import functools
from typing import Final, Literal

import torch
from jaxtyping import Float32, Float64
from torch import Tensor

from medseg.shapes import Shape

Blend = Literal["gaussian", "nnunet"]

GAUSSIAN_SIGMA: Final = 0.125
"""Standard deviation, as a part of the patch's length."""

SMALLEST: Final = {"gaussian": 1e-3, "nnunet": 6e-9}
"""Weight at the corners, where it is 1 in the middle; it keeps the division exact there."""


@functools.lru_cache(maxsize=8)
def weight(patch: Shape, blend: Blend = "gaussian") -> Float32[Tensor, "i j k"]:
    """Return the weight of every voxel of a patch, 1 at a middle that is a voxel."""
    product = torch.einsum("i,j,k->ijk", *(along(size, blend) for size in patch))
    return product.clamp(min=SMALLEST[blend]).float()


@functools.lru_cache(maxsize=32)
def along(size: int, blend: Blend = "gaussian") -> Float64[Tensor, " size"]:
    """Return the weight along one axis.

    The product of those of all three is a voxel's, unless it is below `SMALLEST`.
    """
    middle = size // 2 if blend == "nnunet" else (size - 1) / 2
    distance = torch.arange(size, dtype=torch.float64) - middle
    return torch.exp(-0.5 * (distance / (GAUSSIAN_SIGMA * size)) ** 2)
