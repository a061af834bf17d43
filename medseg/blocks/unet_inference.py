"""The U-Nets of `dynamic_network_architectures` on processors: channels-last, in place, not joined.

The weights stay as they are, and so do the numbers, up to rounding. A convolution needs no bias
where normalisation follows, which takes any constant off; normalisation and rectifier overwrite
its result; and what the decoder joins is convolved part by part, never concatenated. For
prediction alone: nothing is kept for a gradient.

Source: https://github.com/MIC-DKFZ/dynamic-network-architectures, for the order of the layers.
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from medseg.blocks.axes import Features
from medseg.blocks.fused import voxels
from medseg.blocks.normalization import EPSILON, moments, rows, slabs
from medseg.blocks.residual import convolve, join

Convolved = Float[Tensor, "batch out a b c"]


def hastened(network: nn.Module) -> nn.Module:
    """Replace what can be computed faster, in place, and return the network.

    Args:
        network: A `PlainConvUNet`, a `ResidualEncoderUNet`, or what holds one; others come back as
            they are.
    """
    for module in list(network.modules()):
        if type(module).__name__ in ("PlainConvUNet", "ResidualEncoderUNet"):
            _hasten(module)
    return network


def _hasten(network: Any) -> None:
    for module in list(network.modules()):
        for name, child in list(module.named_children()):
            if _is_known(child):
                setattr(module, name, NormalizedConvolution(child))
    if all(isinstance(stage.convs[0], NormalizedConvolution) for stage in network.decoder.stages):
        network.decoder = Decoder(network.decoder)
    network.requires_grad_(requires_grad=False)


class NormalizedConvolution(nn.Module):
    """A convolution, normalised and, if the block has a rectifier, rectified.

    Args:
        block: A `ConvDropoutNormReLU`, whose weights are shared.
    """

    def __init__(self, block: Any) -> None:
        super().__init__()
        self.conv, self.norm = block.conv, block.norm
        self.slope = float(block.nonlin.negative_slope) if hasattr(block, "nonlin") else 1.0

    def forward(self, *parts: Float[Tensor, "batch _ i j k"]) -> Convolved:
        """Transform the features that `parts` would have if concatenated."""
        return _normalize_(self._convolved(parts), self.norm, self.slope)

    def _convolved(self, parts: tuple[Tensor, ...]) -> Tensor:
        if max(self.conv.stride) == 1:
            return join(parts, self.conv.weight)
        (x,) = parts
        x = x.contiguous(memory_format=torch.channels_last_3d)
        stride, padding = self.conv.stride, self.conv.padding
        result = functional.conv3d(x, self.conv.weight, stride=stride, padding=padding)
        return result.contiguous(memory_format=torch.channels_last_3d)


class Decoder(nn.Module):
    """The way up, to the finest logits alone.

    Args:
        decoder: A `UNetDecoder`, whose weights are shared.
    """

    def __init__(self, decoder: Any) -> None:
        super().__init__()
        self.transpconvs, self.stages = decoder.transpconvs, decoder.stages
        self.head = decoder.seg_layers[-1]

    def forward(self, skips: list[Features]) -> Convolved:
        """Return logits, given the features of every scale, finest first; the list is emptied."""
        x = skips.pop()
        for refine, stage in zip(self.transpconvs, self.stages, strict=True):
            x = refine(x).contiguous(memory_format=torch.channels_last_3d)
            first, *others = stage.convs
            x = first(x, skips.pop())
            for convolution in others:
                x = convolution(x)
        return convolve(x, self.head.weight, self.head.bias)


def _is_known(module: nn.Module) -> bool:
    """Tell whether a module is a convolution block of the kind that is computed here."""
    if type(module).__name__ != "ConvDropoutNormReLU":
        return False
    block: Any = module
    kinds = [type(part) for part in block.all_modules if not isinstance(part, nn.Dropout3d)]
    usual = [nn.Conv3d, nn.InstanceNorm3d, nn.LeakyReLU]
    if kinds not in (usual, usual[:2]):
        return False
    norm: nn.InstanceNorm3d = block.norm
    return norm.eps == EPSILON and norm.affine and not norm.track_running_stats


def _normalize_(x: Features, norm: nn.InstanceNorm3d, slope: float) -> Features:
    """Normalise each feature of each case over the voxels, scale and rectify; overwrites `x`."""
    if x.device.type != "cpu":
        result = functional.instance_norm(x, weight=norm.weight, bias=norm.bias, eps=norm.eps)
        return functional.leaky_relu_(result, slope)
    features = x.shape[1]
    for case in rows(x):
        found = moments(case, features)
        scale = found.scale[:features] * norm.weight
        shift = norm.bias - found.mean[:features] * scale
        if voxels.usable(case):
            voxels.scale_activate_(case.view(-1), scale, shift, slope)
            continue
        repeats = case.shape[1] // features
        for (slab,) in slabs(case):
            torch.addcmul(shift.repeat(repeats), slab, scale.repeat(repeats), out=slab)
            functional.leaky_relu_(slab, slope)
    return x
