"""A residual-encoder U-Net: the plain network that every other one is compared with.

Source: Isensee et al. 2024, nnU-Net revisited, https://arxiv.org/abs/2404.09556 (ResEnc presets);
built from the authors' own `dynamic_network_architectures`, which nnU-Net brings.
Differs from the reference code: an image may have any size (it is padded inside and the result
cropped), no head is built for scales that nothing supervises, and where voxels are about as long
along each axis the number of scales is that of the size, not of the patch.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from medseg.blocks.axes import Grid, per_axis, product
from medseg.blocks.pooling import ISOTROPIC, THICK, nnunet_kernels, nnunet_strides
from medseg.shapes import Spacing


class MeanPooling(nn.AvgPool3d):
    """Average pooling that computes bfloat16 in float32, which torch lacks on a CPU."""

    def forward(self, image: Tensor) -> Tensor:
        """Average over blocks of voxels."""
        return super().forward(image.float()).to(image.dtype)


class ResEncUNet(nn.Module):
    """Residual blocks on the way down, one convolution per scale on the way up.

    Args:
        in_channels: Channels of the image.
        out_channels: Channels of the logits.
        features: Of each scale, finest first.
        blocks: Residual blocks of each scale.
        strides: What each scale after the first divides the grid by, along each side or along each
            axis; without, all are 2. Fewer leave out the coarsest scales, more have no effect.
        kernels: Lengths of the kernels of each scale, likewise; the coarsest that is left has 3.

    Raises:
        ValueError: `features` and `blocks` differ in length, or there are too few kernels.
        ModuleNotFoundError: nnunetv2 is not installed.
    """

    def __init__(
        self,
        *,
        in_channels: int,
        out_channels: int,
        features: Sequence[int] = (32, 64, 128, 256, 320, 320),
        blocks: Sequence[int] = (1, 3, 4, 6, 6, 6),
        strides: Sequence[int | Sequence[int]] | None = None,
        kernels: Sequence[int | Sequence[int]] | None = None,
    ) -> None:
        super().__init__()
        from dynamic_network_architectures.architectures.unet import ResidualEncoderUNet

        if len(features) != len(blocks):
            raise ValueError(f"features {features} and blocks {blocks} need one entry per scale")
        steps = [per_axis(stride, "strides") for stride in strides or [2] * len(features)]
        scales = min(len(features), len(steps) + 1)
        steps = steps[: scales - 1]
        widths = [per_axis(kernel, "kernels") for kernel in kernels or [3] * scales]
        if len(widths) < scales:
            raise ValueError(f"kernels {kernels} need an entry for each of {scales} scales")
        self.multiple = product((1, 1, 1), *steps)
        self.unet = ResidualEncoderUNet(
            input_channels=in_channels,
            n_stages=scales,
            features_per_stage=list(features)[:scales],
            conv_op=nn.Conv3d,
            kernel_sizes=[*widths[: scales - 1], (3, 3, 3)],
            strides=[(1, 1, 1), *steps],
            n_blocks_per_stage=list(blocks)[:scales],
            num_classes=out_channels,
            n_conv_per_stage_decoder=1,
            conv_bias=True,
            norm_op=nn.InstanceNorm3d,
            norm_op_kwargs={"eps": 1e-5, "affine": True},
            nonlin=nn.LeakyReLU,
            nonlin_kwargs={"inplace": True},
        )
        for module in self.unet.modules():
            for name, child in module.named_children():
                if isinstance(child, nn.AvgPool3d):
                    setattr(module, name, MeanPooling(child.kernel_size, child.stride))
        heads = self.unet.decoder.seg_layers
        for coarse in range(len(heads) - 1):
            heads[coarse] = nn.Identity()
        self.HEAD_BIAS = f"unet.decoder.seg_layers.{len(heads) - 1}.bias"

    def forward(
        self, image: Float[Tensor, "batch channels i j k"]
    ) -> Float[Tensor, "batch outputs i j k"]:
        """Return logits on the grid of the image."""
        i, j, k = image.shape[2:]
        result: Tensor = self.unet(self._padded(image))
        return result[:, :, :i, :j, :k].contiguous(memory_format=torch.contiguous_format)

    def _padded(self, image: Tensor) -> Tensor:
        """Fill the end of each axis with zeros, so that the coarsest grid has two voxels or more.

        Instance normalisation has nothing to measure on a single one.
        """
        sizes = zip(image.shape[2:], self.multiple, strict=True)
        lengths = [math.ceil(n / multiple) * multiple for n, multiple in sizes]
        if tuple(lengths) == self.multiple:
            lengths[-1] *= 2
        i, j, k = (full - n for full, n in zip(lengths, image.shape[2:], strict=True))
        return functional.pad(image, (0, k, 0, j, 0, i)) if i or j or k else image


Network = ResEncUNet


def fitted(patch: Grid, spacing_mm: Spacing = ISOTROPIC) -> dict[str, Any]:
    """Return strides and kernels that suit thick slices, by nnU-Net's rule; else nothing."""
    if max(spacing_mm) / min(spacing_mm) < THICK:
        return {}
    strides = nnunet_strides(patch, spacing_mm)
    if not strides:
        return {}
    kernels = nnunet_kernels(strides, spacing_mm)
    return {"strides": tuple(strides), "kernels": tuple(kernels)}


SIZES = {
    "tiny": {"features": (12, 24, 48), "blocks": (1, 1, 1)},
    "small": {"features": (16, 32, 64, 128, 192), "blocks": (1, 2, 3, 4, 4)},
    "base": {"features": (32, 64, 128, 256, 320, 320), "blocks": (1, 3, 4, 6, 6, 6)},
}
