"""Residual blocks of convolutions, and the step up that joins a coarse grid to a fine one.

Source: Isensee et al. 2019, Automated design of deep learning methods for biomedical image segmentation,
https://arxiv.org/abs/1904.08128; Hatamizadeh et al. 2022, UNETR, https://arxiv.org/abs/2103.10504
Differs from the reference code: joined features are never concatenated, the weights are split instead.
"""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from medseg.blocks.normalization import add_activate_, normalize_activate_

Features = Float[Tensor, "batch features i j k"]
Stride = tuple[int, int, int]

FEW = 4
"""With fewer channels torch leaves oneDNN for a slow kernel, so that added zeros cost less than nothing."""


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
        self.stride = stride
        self.conv = nn.ConvTranspose3d(in_features, out_features, stride, stride, bias=False)

    def forward(self, x: Features) -> Features:
        """Refine the grid by the stride."""
        result = F.conv_transpose3d(x, self.conv.weight, stride=self.stride)
        return result.contiguous(memory_format=torch.channels_last_3d)


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
        self.stride = stride
        self.transp_conv = Upsampling(in_features, out_features, stride=stride)
        self.conv_block = ResidualBlock(2 * out_features, out_features)

    def forward(
        self,
        low: Float[Tensor, "batch many i j k"],
        skip: Float[Tensor, "batch few fine_i fine_j fine_k"],
    ) -> Float[Tensor, "batch few fine_i fine_j fine_k"]:
        """Return features on the grid of `skip`."""
        upsample = self.transp_conv.conv.weight
        if not self._composes(low):
            return self.conv_block(self.transp_conv(low), skip)
        block = self.conv_block
        few = skip.shape[1]
        hidden = convolve(skip, block.conv1.conv.weight[:, few:])
        hidden = hidden.add_(upsample_convolve(low, upsample, block.conv1.conv.weight[:, :few], self.stride))
        hidden = normalize_activate_(hidden)
        residual = convolve(skip, block.conv3.conv.weight[:, few:])
        residual = residual.add_(upsample_convolve(low, upsample, block.conv3.conv.weight[:, :few], self.stride))
        return add_activate_(block.conv2(hidden), residual, normalize_residual=True)

    def _composes(self, low: Tensor) -> bool:
        """Whether one composed transposed convolution costs less than two convolutions in a row."""
        many, few = self.transp_conv.conv.weight.shape[:2]
        voxels = low.numel() // many
        fine = voxels * math.prod(self.stride)
        kernel = math.prod(s + 2 for s in self.stride)
        apart = fine * few * (few * 27 + many)
        composed = many * few * kernel * (voxels + 27 * few)
        return composed < apart


def upsample_convolve(
    low: Features, upsample: Float[Tensor, "many mid p q r"], weight: Float[Tensor, "out mid w w w"], stride: Stride
) -> Features:
    """Convolve an upsampled grid without building it: both steps are one transposed convolution."""
    w = weight.shape[-1]
    with torch.autocast(low.device.type, enabled=False):
        kernel = F.conv3d(upsample, weight, padding=w - 1)
    result = F.conv_transpose3d(low, kernel, stride=stride, padding=w // 2)
    return result.contiguous(memory_format=torch.channels_last_3d)


def convolve(x: Features, weight: Float[Tensor, "out in w w w"]) -> Features:
    """Convolve on the same grid, zero outside."""
    if weight.shape[-1] == 1:
        return F.linear(x.permute(0, 2, 3, 4, 1), weight.flatten(1)).permute(0, 4, 1, 2, 3)
    lacking = FEW - x.shape[1]
    if lacking > 0 and x.device.type == "cpu":
        x = F.pad(x, (0, 0, 0, 0, 0, 0, 0, lacking))
        weight = F.pad(weight, (0, 0, 0, 0, 0, 0, 0, lacking))
    x = x.contiguous(memory_format=torch.channels_last_3d)
    result = F.conv3d(x, weight, padding=weight.shape[-1] // 2)
    return result.contiguous(memory_format=torch.channels_last_3d)  # small grids come back otherwise


def join(parts: tuple[Features, ...], weight: Float[Tensor, "out in w w w"]) -> Features:
    """Convolve the concatenation of `parts` without building it."""
    first, *others = weight.split([part.shape[1] for part in parts], dim=1)
    result = convolve(parts[0], first)
    for part, piece in zip(parts[1:], others, strict=True):
        result = result.add_(convolve(part, piece))
    return result
