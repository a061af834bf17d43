"""A residual-encoder U-Net: the plain network that every other one is compared with.

Source: Isensee et al. 2024, nnU-Net revisited, https://arxiv.org/abs/2404.09556 (ResEnc presets);
built from the authors' own `dynamic_network_architectures`, which nnU-Net brings.
Differs from the reference code: an image may have any size (it is padded inside and the result
cropped), and no head is built for scales that nothing supervises.
"""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional


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
        features: Of each scale, finest first; every scale after the first halves the grid.
        blocks: Residual blocks of each scale.

    Raises:
        ValueError: `features` and `blocks` differ in length.
        ModuleNotFoundError: nnunetv2 is not installed.
    """

    def __init__(
        self,
        *,
        in_channels: int,
        out_channels: int,
        features: Sequence[int] = (32, 64, 128, 256, 320, 320),
        blocks: Sequence[int] = (1, 3, 4, 6, 6, 6),
    ) -> None:
        super().__init__()
        from dynamic_network_architectures.architectures.unet import ResidualEncoderUNet

        if len(features) != len(blocks):
            raise ValueError(f"features {features} and blocks {blocks} need one entry per scale")
        scales = len(features)
        self.multiple = 2 ** (scales - 1)
        self.unet = ResidualEncoderUNet(
            input_channels=in_channels,
            n_stages=scales,
            features_per_stage=list(features),
            conv_op=nn.Conv3d,
            kernel_sizes=3,
            strides=[1] + [2] * (scales - 1),
            n_blocks_per_stage=list(blocks),
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
        lengths = [math.ceil(n / self.multiple) * self.multiple for n in image.shape[2:]]
        if math.prod(lengths) == self.multiple**3:
            lengths[-1] *= 2
        i, j, k = (full - n for full, n in zip(lengths, image.shape[2:], strict=True))
        return functional.pad(image, (0, k, 0, j, 0, i)) if i or j or k else image


Network = ResEncUNet

SIZES = {
    "tiny": {"features": (12, 24, 48), "blocks": (1, 1, 1)},
    "small": {"features": (16, 32, 64, 128, 192), "blocks": (1, 2, 3, 4, 4)},
    "base": {"features": (32, 64, 128, 256, 320, 320), "blocks": (1, 3, 4, 6, 6, 6)},
}
