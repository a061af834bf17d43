"""Convolutions with group normalisation and a rectifier, and the step up to a finer grid.

Source: Wu & He 2018, Group normalization, https://arxiv.org/abs/1803.08494; Lin et al. 2022,
DS-TransUNet, https://doi.org/10.1109/TIM.2022.3178991, for their order
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from medseg.blocks.axes import Features, Stride
from medseg.blocks.checks import check_odd
from medseg.blocks.normalization import normalize_groups
from medseg.blocks.residual import Convolution, Convolved, join

Joined = Float[Tensor, "batch few fine_i fine_j fine_k"]
Mode = Literal["nearest", "trilinear"]

GROUPS = 32
"""Groups that are normalised together, where their number divides that of the features."""


@dataclass(frozen=True, slots=True)
class DecoderOptions:
    """What all steps of a decoder share."""

    kernel: Stride
    upsampling: Mode

    def __post_init__(self) -> None:
        check_odd("kernel", self.kernel)


class BiasedConvolution(Convolution):
    """A convolution with a bias, of several features side by side, perhaps rectified."""

    def __init__(
        self, in_features: int, out_features: int, *, kernel: int | Stride, rectified: bool = False
    ) -> None:
        super().__init__(in_features, out_features, kernel=kernel, bias=True)
        self.rectified = rectified

    def forward(self, *parts: Float[Tensor, "batch _ i j k"]) -> Convolved:
        """Convolve the features that `parts` would have if concatenated."""
        result = join(parts, self.conv.weight, self.conv.bias)
        return functional.relu_(result) if self.rectified else result


class NormalizedConvolution(nn.Module):
    """A convolution, normalised in groups of features and rectified."""

    def __init__(self, in_features: int, out_features: int, *, kernel: int | Stride) -> None:
        super().__init__()
        self.conv = BiasedConvolution(in_features, out_features, kernel=kernel)
        self.norm = nn.GroupNorm(math.gcd(GROUPS, out_features), out_features)

    def forward(self, *parts: Float[Tensor, "batch _ i j k"]) -> Convolved:
        """Transform the features that `parts` would have if concatenated."""
        return functional.relu_(normalize_groups(self.conv(*parts), self.norm))


class DoubleConvolution(nn.Module):
    """Two normalised convolutions in a row."""

    def __init__(self, in_features: int, out_features: int, *, kernel: int | Stride) -> None:
        super().__init__()
        self.first = NormalizedConvolution(in_features, out_features, kernel=kernel)
        self.second = NormalizedConvolution(out_features, out_features, kernel=kernel)

    def forward(self, *parts: Float[Tensor, "batch _ i j k"]) -> Convolved:
        """Transform the features that `parts` would have if concatenated."""
        result: Tensor = self.second(self.first(*parts))
        return result


def refine(
    x: Features,
    stride: Stride,
    like: Float[Tensor, "batch _ fine_i fine_j fine_k"],
    mode: Mode,
) -> Float[Tensor, "batch features fine_i fine_j fine_k"]:
    """Interpolate to a grid finer by `stride` and cut off what lies behind the end of `like`."""
    i, j, k = like.shape[2:]
    scale = tuple(map(float, stride))
    fine = functional.interpolate(x, scale_factor=scale, mode=mode)
    return fine[:, :, :i, :j, :k]


class ConvolutionUp(nn.Module):
    """Refine a coarse grid and join shallow features."""

    def __init__(self, features: int, *, stride: Stride, options: DecoderOptions) -> None:
        super().__init__()
        half = features // 2
        self.stride = stride
        self.upsampling = options.upsampling
        self.up = NormalizedConvolution(features, half, kernel=options.kernel)
        self.join = BiasedConvolution(features, half, kernel=options.kernel, rectified=True)

    def forward(self, low: Features, skip: Joined) -> Joined:
        """Return features on the grid of `skip`."""
        x = self.up(refine(low, self.stride, skip, self.upsampling))
        joined: Tensor = self.join(skip, x)
        return joined


class ShallowSkips(nn.Module):
    """Convolutions of the image itself, at each scale finer than the tokens; finest first."""

    def __init__(
        self, in_channels: int, features: int, *, strides: Sequence[Stride], kernel: int | Stride
    ) -> None:
        super().__init__()
        if features % 2 ** len(strides):
            raise ValueError(
                f"features must be a multiple of {2 ** len(strides)}, for they are halved with "
                f"each halving of a patch, got {features}"
            )
        self.strides = strides[:-1]
        widths = [features // 2 ** (len(strides) - n) for n in range(len(strides))]
        self.first = BiasedConvolution(in_channels, widths[0], kernel=1)
        self.others = nn.ModuleList(
            DoubleConvolution(a, b, kernel=kernel) for a, b in itertools.pairwise(widths)
        )

    def forward(self, image: Features) -> list[Tensor]:
        """Return the features of each scale."""
        scales = [self.first(image)]
        for stride, convolution in zip(self.strides, self.others, strict=True):
            smaller = functional.max_pool3d(scales[-1], stride, stride, ceil_mode=True)
            scales.append(convolution(smaller))
        return scales
