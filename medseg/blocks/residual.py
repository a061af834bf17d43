"""Residual blocks of convolutions, and the step up that joins a coarse grid to a fine one.

Source: Isensee et al. 2019, Automated design of deep learning methods for biomedical image
segmentation, https://arxiv.org/abs/1904.08128; Hatamizadeh et al. 2022, UNETR,
https://arxiv.org/abs/2103.10504
Differs from the reference code: joined features are never concatenated, the weights are split
instead.
"""

import math
from collections.abc import Sequence
from contextlib import nullcontext

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from medseg.blocks.axes import Features, Stride
from medseg.blocks.normalization import add_activate_, normalize_activate_

Convolved = Float[Tensor, "batch out i j k"]
Upsampled = Float[Tensor, "batch out fine_i fine_j fine_k"]
Kernel = Float[Tensor, "out features p q r"]
Bias = Float[Tensor, " out"]

FEW = 4
"""With fewer channels torch falls back to a slow kernel; added zeros save more than they cost."""

TINY_GRID = 27
"""Voxels of a grid that is convolved in float32 on a CPU."""


SMALL = 20480
"""Up to this many features times rows, torch convolves a single case with a slow kernel."""

WORTH = 512
"""From this many voxels on, a second, empty case costs less than the slow kernel."""


class Convolution(nn.Module):
    """The weights of a convolution; the blocks below decide how they are applied."""

    def __init__(
        self, in_features: int, out_features: int, *, kernel: int | Stride, bias: bool = False
    ) -> None:
        super().__init__()
        self.conv = nn.Conv3d(in_features, out_features, kernel, bias=bias)

    def forward(self, x: Features) -> Convolved:
        """Convolve on the same grid."""
        return convolve(x, self.conv.weight, self.conv.bias)


class Upsampling(nn.Module):
    """The weights of a transposed convolution whose kernel equals its stride."""

    def __init__(self, in_features: int, out_features: int, *, stride: Stride) -> None:
        super().__init__()
        self.stride = stride
        self.conv = nn.ConvTranspose3d(in_features, out_features, stride, stride, bias=False)

    def forward(self, x: Features) -> Upsampled:
        """Refine the grid by the stride."""
        result = functional.conv_transpose3d(x, self.conv.weight, stride=self.stride)
        return result.contiguous(memory_format=torch.channels_last_3d)


class ResidualBlock(nn.Module):
    """Two convolutions beside a shortcut, which is a 1x1x1 convolution where features change."""

    def __init__(self, in_features: int, out_features: int, *, kernel: int | Stride = 3) -> None:
        super().__init__()
        self.conv1 = Convolution(in_features, out_features, kernel=kernel)
        self.conv2 = Convolution(out_features, out_features, kernel=kernel)
        self.projects = in_features != out_features
        if self.projects:
            self.conv3 = Convolution(in_features, out_features, kernel=1)

    def forward(self, *parts: Float[Tensor, "batch _ i j k"]) -> Convolved:
        """Transform the features that `parts` would have if concatenated."""
        hidden = normalize_activate_(join(parts, self.conv1.conv.weight))
        if self.projects:
            residual = join(parts, self.conv3.conv.weight)
        else:
            residual = parts[0].contiguous(memory_format=torch.channels_last_3d)
        return add_activate_(self.conv2(hidden), residual, normalize_residual=self.projects)


class ResidualUnit(nn.Module):
    """A residual block under the name its weights have in Swin UNETR."""

    def __init__(self, in_features: int, out_features: int, *, kernel: int | Stride = 3) -> None:
        super().__init__()
        self.layer = ResidualBlock(in_features, out_features, kernel=kernel)

    def forward(self, x: Features) -> Convolved:
        """Transform the features."""
        result: Tensor = self.layer(x)
        return result


class UpBlock(nn.Module):
    """Refine a coarse grid, join the skip connection, and mix both in a residual block."""

    def __init__(
        self, in_features: int, out_features: int, *, stride: Stride, kernel: int | Stride = 3
    ) -> None:
        super().__init__()
        self.stride = stride
        self.transp_conv = Upsampling(in_features, out_features, stride=stride)
        self.conv_block = ResidualBlock(2 * out_features, out_features, kernel=kernel)

    def forward(
        self,
        low: Float[Tensor, "batch many i j k"],
        skip: Float[Tensor, "batch few fine_i fine_j fine_k"],
    ) -> Float[Tensor, "batch few fine_i fine_j fine_k"]:
        """Return features on the grid of `skip`, which may end before the refined grid does."""
        if not self._composes(low, skip):
            i, j, k = skip.shape[2:]
            refined = self.transp_conv(low)[:, :, :i, :j, :k]
            result: Tensor = self.conv_block(refined, skip)
            return result
        block = self.conv_block
        hidden = normalize_activate_(self._join(low, skip, block.conv1))
        residual = self._join(low, skip, block.conv3)
        return add_activate_(block.conv2(hidden), residual, normalize_residual=True)

    def _join(self, low: Tensor, skip: Tensor, convolution: Convolution) -> Tensor:
        """Convolve the upsampled grid beside `skip`."""
        few = skip.shape[1]
        weight = convolution.conv.weight
        refined = upsample_convolve(low, self.transp_conv.conv.weight, weight[:, :few], self.stride)
        return convolve(skip, weight[:, few:]).add_(refined)

    def _composes(self, low: Tensor, skip: Tensor) -> bool:
        """Whether one composed transposed convolution does it, and for less than two in a row."""
        grids = zip(low.shape[2:], self.stride, skip.shape[2:], strict=True)
        if any(coarse * stride != fine for coarse, stride, fine in grids):
            return False
        many, few = self.transp_conv.conv.weight.shape[:2]
        voxels = low.numel() // many
        widths = self.conv_block.conv1.conv.weight.shape[2:]
        weights = math.prod(widths)
        kernel = math.prod(s + w - 1 for s, w in zip(self.stride, widths, strict=True))
        apart = voxels * math.prod(self.stride) * few * (few * weights + many)
        return many * few * kernel * (voxels + weights * few) < apart


def upsample_convolve(
    low: Float[Tensor, "batch many i j k"],
    upsample: Float[Tensor, "many middle p q r"],
    weight: Float[Tensor, "out middle u v w"],
    stride: Stride,
) -> Upsampled:
    """Convolve an upsampled grid unbuilt: both steps make one transposed convolution."""
    widths = weight.shape[2:]
    # Tensors without values, which count operations, know no autocast.
    exact = nullcontext() if low.is_meta else torch.autocast(low.device.type, enabled=False)
    with exact:
        kernel = functional.conv3d(upsample, weight, padding=[w - 1 for w in widths])
    half = [w // 2 for w in widths]
    result = functional.conv_transpose3d(low, kernel, stride=stride, padding=half)
    return result.contiguous(memory_format=torch.channels_last_3d)


def convolve(x: Features, weight: Kernel, bias: Bias | None = None) -> Convolved:
    """Convolve on the same grid, zero outside; along each axis the kernel is odd."""
    if weight.shape[2:].numel() == 1:
        tokens = functional.linear(x.permute(0, 2, 3, 4, 1), weight.flatten(1), bias)
        return tokens.permute(0, 4, 1, 2, 3)
    lacking = FEW - x.shape[1]
    if lacking > 0 and x.device.type == "cpu":
        x = functional.pad(x, (0, 0, 0, 0, 0, 0, 0, lacking))
        weight = functional.pad(weight, (0, 0, 0, 0, 0, 0, 0, lacking))
    alone = meets_slow_kernel(x)
    if alone:
        x = functional.pad(x, (0, 0, 0, 0, 0, 0, 0, 0, 0, 1))
    x = x.contiguous(memory_format=torch.channels_last_3d)
    result = convolve_whole(x, weight, bias)
    if alone:
        result = result[:1].clone()
    # Small grids come back in another layout.
    return result.contiguous(memory_format=torch.channels_last_3d)


def meets_slow_kernel(x: Features) -> bool:
    """Whether torch would leave oneDNN because a single small case is given; two cases it takes."""
    batch, features, i, j, k = x.shape
    if batch > 1 or x.device.type != "cpu" or x.dtype == torch.bfloat16:
        return False
    return features * i * j <= SMALL and i * j * k >= WORTH


def convolve_whole(
    x: Features,
    weight: Float[Tensor, "out per_group p q r"],
    bias: Bias | None = None,
    *,
    groups: int = 1,
) -> Convolved:
    """Convolve on the same grid as torch does, in float32 where its bfloat16 fails."""
    padding = [width // 2 for width in weight.shape[2:]]
    narrow = x.dtype == torch.bfloat16 or torch.is_autocast_enabled("cpu")
    differentiated = torch.is_grad_enabled() and (x.requires_grad or weight.requires_grad)
    tiny = x.device.type == "cpu" and x.shape[2:].numel() <= TINY_GRID
    if narrow and tiny and differentiated:
        # On grids of 2x2x2 the bfloat16 gradient of the weights holds uninitialised memory on
        # CPUs (seen with torch 2.14.1, with groups as well), so that training ends in NaN; float32
        # costs nothing there.
        with torch.autocast("cpu", enabled=False):
            wide = None if bias is None else bias.float()
            result = functional.conv3d(
                x.float(), weight.float(), wide, padding=padding, groups=groups
            )
        return result.to(torch.bfloat16)
    return functional.conv3d(x, weight, bias, padding=padding, groups=groups)


def join(
    parts: Sequence[Float[Tensor, "batch _ i j k"]], weight: Kernel, bias: Bias | None = None
) -> Convolved:
    """Convolve the concatenation of `parts` without building it."""
    first, *pieces = torch.split(weight, [part.shape[1] for part in parts], dim=1)
    result = convolve(parts[0], first, bias)
    for part, piece in zip(parts[1:], pieces, strict=True):
        result = result.add_(convolve(part, piece))
    return result
