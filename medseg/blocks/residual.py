"""Residual blocks of convolutions, and the step up that joins a coarse grid to a fine one.

Source: Isensee et al. 2019, Automated design of deep learning methods for biomedical image segmentation,
https://arxiv.org/abs/1904.08128; Hatamizadeh et al. 2022, UNETR, https://arxiv.org/abs/2103.10504
Differs from the reference code: joined features are never concatenated, the weights are split instead.
"""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from medseg.blocks.normalization import add_activate_, normalize_activate_

Features = Float[Tensor, "batch features i j k"]
Stride = tuple[int, int, int]


class Convolution(nn.Module):
    """The weights of a convolution without bias; the blocks below decide how they are applied."""

    def __init__(self, in_features: int, out_features: int, *, kernel: int) -> None:
        super().__init__()
        self.conv = nn.Conv3d(in_features, out_features, kernel, padding=kernel // 2, bias=False)

    def forward(self, x: Features) -> Features:
        """Convolve."""
        return convolve(x, self.conv.weight)


class Upsampling(nn.Module):
    """The weights of a transposed convolution whose kernel equals its stride."""

    def __init__(self, in_features: int, out_features: int, *, stride: Stride) -> None:
        super().__init__()
        self.conv = nn.ConvTranspose3d(in_features, out_features, stride, stride, bias=False)

    def forward(self, x: Features) -> Features:
        """Refine the grid by the stride."""
        return F.conv_transpose3d(x, self.conv.weight, stride=self.conv.stride)


class ResidualBlock(nn.Module):
    """Two convolutions beside a shortcut, which is a 1x1x1 convolution where the number of features changes."""

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__()
        self.conv1 = Convolution(in_features, out_features, kernel=3)
        self.conv2 = Convolution(out_features, out_features, kernel=3)
        self.projects = in_features != out_features
        if self.projects:
            self.conv3 = Convolution(in_features, out_features, kernel=1)

    def forward(self, *parts: Features) -> Features:
        """Transform the features that `parts` would have if concatenated."""
        hidden = normalize_activate_(join(parts, self.conv1.conv.weight))
        residual = join(parts, self.conv3.conv.weight) if self.projects else parts[0]
        return add_activate_(self.conv2(hidden), residual, normalize_residual=self.projects)


class ResidualUnit(nn.Module):
    """A residual block under the name its weights have in Swin UNETR."""

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__()
        self.layer = ResidualBlock(in_features, out_features)

    def forward(self, x: Features) -> Features:
        """Transform the features."""
        return self.layer(x)


class UpBlock(nn.Module):
    """Refine a coarse grid, join the skip connection, and mix both in a residual block."""

    def __init__(self, in_features: int, out_features: int, *, stride: Stride) -> None:
        super().__init__()
        self.transp_conv = Upsampling(in_features, out_features, stride=stride)
        self.conv_block = ResidualBlock(2 * out_features, out_features)

    def forward(
        self,
        low: Float[Tensor, "batch many i j k"],
        skip: Float[Tensor, "batch few fine_i fine_j fine_k"],
    ) -> Float[Tensor, "batch few fine_i fine_j fine_k"]:
        """Return features on the grid of `skip`."""
        return self.conv_block(self.transp_conv(low), skip)


def convolve(x: Features, weight: Float[Tensor, "out in w w w"]) -> Features:
    """Convolve on the same grid, zero outside."""
    return F.conv3d(x, weight, padding=weight.shape[-1] // 2)


def join(parts: tuple[Features, ...], weight: Float[Tensor, "out in w w w"]) -> Features:
    """Convolve the concatenation of `parts` without building it."""
    first, *others = weight.split([part.shape[1] for part in parts], dim=1)
    result = convolve(parts[0], first)
    for part, piece in zip(parts[1:], others, strict=True):
        result = result.add_(convolve(part, piece))
    return result
