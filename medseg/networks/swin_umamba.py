"""Swin-UMamba: an encoder of visual state-space blocks, a decoder of convolutions or such blocks.

Source: Liu et al. 2024, Swin-UMamba, https://arxiv.org/abs/2402.03302, sections 2.2 to 2.4; its
encoder is the first version of VMamba, Liu et al. 2024, https://arxiv.org/abs/2401.10166
Differs from the reference code: it has two dimensions, which here are the special case of one slice
(sizes `published` and `published_light`). In three dimensions the grid is read along six
directions, one forward and one in reverse with each axis fastest, each with first weights of its
own, and what comes out is laid back before it is added up. Odd grids are filled with zeros, not
truncated. Auxiliary heads cost nothing in inference. The probability of dropped paths is an option.
"""

import re
from collections.abc import Sequence
from typing import Any, Literal

from jaxtyping import Float
from torch import Tensor, nn

from medseg.blocks.axes import Embedded, Features, Grid, Stride, per_axis, product
from medseg.blocks.checks import (
    check_choice,
    check_counts,
    check_odd,
    check_probabilities,
    check_stages,
)
from medseg.blocks.convolution_decoder import ConvolutionDecoder
from medseg.blocks.drop_path import rising_rates
from medseg.blocks.initialization import draw_linear_maps
from medseg.blocks.mamba_decoder import MambaDecoder
from medseg.blocks.normalization import normalize_groups
from medseg.blocks.patch import PatchEmbedding, PatchMerging
from medseg.blocks.pooling import ISOTROPIC, fitting_strides
from medseg.blocks.state_space import StateSpaceOptions, StateSpaceStage
from medseg.shapes import Spacing
from medseg.weights import Source

STAGES = 4

Decoder = Literal["convolution", "mamba"]


class Stem(nn.Module):
    """A strided convolution, normalised over the voxels of each case."""

    def __init__(self, in_channels: int, features: int, *, kernel: Stride, stride: Stride) -> None:
        super().__init__()
        i, j, k = kernel
        half = (i // 2, j // 2, k // 2)
        self.conv = nn.Conv3d(in_channels, features, kernel, stride, half)
        self.norm = nn.GroupNorm(features, features)

    def forward(self, image: Features) -> Float[Tensor, "batch more less_i less_j less_k"]:
        """Coarsen the grid by the stride, rounded up."""
        return normalize_groups(self.conv(image), self.norm)


class Encoder(nn.Module):
    """The patch embedding and four stages, between which neighbours are merged."""

    def __init__(
        self,
        in_channels: int,
        options: StateSpaceOptions,
        *,
        features: int,
        depths: Sequence[int],
        patch_embedding: Stride,
        strides: Sequence[Stride],
        drop_path: float,
        checkpointing: bool,
    ) -> None:
        super().__init__()
        self.patch_embed = PatchEmbedding(
            in_channels, features, stride=patch_embedding, normalized=True
        )
        self.layers = nn.ModuleList(
            StateSpaceStage(
                features * 2**n,
                options,
                drop_path=rates,
                checkpointing=checkpointing,
            )
            for n, rates in enumerate(rising_rates(drop_path, depths))
        )
        self.downsamples = nn.ModuleList(
            PatchMerging(features * 2**n, stride=stride, order="monai")
            for n, stride in enumerate(strides)
        )

    def forward(self, image: Features, after_embedding: Embedded | None = None) -> list[Tensor]:
        """Return the tokens of each scale, finest first."""
        tokens = self.patch_embed(image)
        if after_embedding is not None:
            tokens = after_embedding(tokens)
        scales = [self.layers[0](tokens)]
        for layer, downsample in zip(list(self.layers)[1:], self.downsamples, strict=True):
            scales.append(layer(downsample(scales[-1])))
        return scales


class SwinUMamba(nn.Module):
    """Swin-UMamba, and with a Mamba decoder its light variant, Swin-UMamba-D.

    The publication supervises four scales but gives the coarsest no weight in the loss. The scan
    and the normalisation behind it are computed in float32 whatever the rest is computed in.
    `torch.export` works where the scan is one operator, as its backend for the CPU is; that for
    reference is unrolled, step by step, into a graph that is large.

    Args:
        in_channels: Channels of the image.
        out_channels: Channels of the logits.
        features: Features of a token at the finest scale; they double with each stage. The stem
            has half as many.
        depths: State-space blocks of each stage.
        decoder: "convolution", or "mamba" for the light variant, which has no stem: a patch of as
            many voxels as stem and embedding would take together is embedded at once.
        decoder_features: Features of the convolutional decoder on the image's grid and on each
            scale but the coarsest, finest first; as published, half of `features`, then doubling.
        stem_kernel: Voxels of the stem's kernel along each side, or along each axis; None for 7.
        stem_stride: What the stem divides the grid by, along each side or along each axis.
        patch_embedding: What the patch embedding behind the stem divides the grid by.
        strides: What each merging divides the grid by.
        kernel: Voxels of all other convolutions, along each side or along each axis.
        states: States of each channel of the scan.
        expand: Channels of the scan for each feature of a token.
        step_rank: Values from which step sizes are computed; None for a sixteenth of the features.
        scan_orders: Orders of the axes in which the grid is read, fastest last, each forward and in
            reverse.
        drop_path: Probability of leaving out the last block; it rises linearly from 0 at the first.
        checkpointing: Compute state-space blocks again in the backward pass instead of keeping
            their values.

    Raises:
        ValueError: There is no such decoder or order, a kernel is even, a list has the wrong
            length, or the light variant is given features or a stem of the other.
    """

    HEAD_BIAS = "decoder.heads.0.conv.conv.bias"
    SUPERVISION = (4 / 7, 2 / 7, 1 / 7, 0.0)

    def __init__(
        self,
        *,
        in_channels: int,
        out_channels: int,
        features: int = 96,
        depths: Sequence[int] = (2, 2, 9, 2),
        decoder: Decoder = "convolution",
        decoder_features: Sequence[int] | None = None,
        stem_kernel: int | Sequence[int] | None = None,
        stem_stride: int | Sequence[int] = 2,
        patch_embedding: int | Sequence[int] = 2,
        strides: Sequence[int | Sequence[int]] = (2, 2, 2),
        kernel: int | Sequence[int] = 3,
        states: int = 16,
        expand: int = 2,
        step_rank: int | None = None,
        scan_orders: Sequence[str] = ("ijk", "jki", "kij"),
        drop_path: float = 0.2,
        checkpointing: bool = False,
    ) -> None:
        super().__init__()
        check_stages(STAGES, depths=depths)
        check_stages(STAGES - 1, each="step", strides=strides)
        check_decoder(decoder, decoder_features=decoder_features, stem_kernel=stem_kernel)
        check_counts(features=features)
        check_probabilities(drop_path=drop_path)
        widths = per_axis(kernel, "kernel")
        widths_of_stem = per_axis(7 if stem_kernel is None else stem_kernel, "stem_kernel")
        check_odd("kernel", widths)
        check_odd("stem_kernel", widths_of_stem)
        if features % 2:
            raise ValueError(f"features must be even, for the stem has half, got {features}")
        options = StateSpaceOptions(states, expand, step_rank, widths, tuple(scan_orders))
        stem = per_axis(stem_stride, "stem_stride")
        embedding = per_axis(patch_embedding, "patch_embedding")
        merges = [per_axis(stride, "strides") for stride in strides]
        convolutional = decoder == "convolution"
        if convolutional:
            self.stem: nn.Module | None = Stem(
                in_channels, features // 2, kernel=widths_of_stem, stride=stem
            )
        else:
            self.stem = None
            self.HEAD_BIAS = "decoder.head.linear.bias"
            embedding = product(stem, embedding)
        self.vssm_encoder = Encoder(
            features // 2 if convolutional else in_channels,
            options,
            features=features,
            depths=depths,
            patch_embedding=embedding,
            strides=merges,
            drop_path=drop_path,
            checkpointing=checkpointing,
        )
        scales = [features * 2**n for n in range(STAGES)]
        self.decoder = (
            ConvolutionDecoder(
                in_channels,
                (features // 2, *scales),
                features=decoder_features or [features * 2**n // 2 for n in range(STAGES + 1)],
                strides=(stem, embedding, *merges),
                kernel=widths,
                out_channels=out_channels,
            )
            if convolutional
            else MambaDecoder(
                scales,
                options,
                strides=(embedding, *merges),
                drop_path=drop_path,
                checkpointing=checkpointing,
                out_channels=out_channels,
            )
        )
        draw_linear_maps(self)

    def encode(
        self,
        image: Float[Tensor, "batch channels i j k"],
        *,
        after_embedding: Embedded | None = None,
    ) -> list[Tensor]:
        """Return the encoder's features by scale, finest first, the stem's before all others."""
        stem = [] if self.stem is None else [self.stem(image)]
        tokens = self.vssm_encoder(*(stem or [image]), after_embedding)
        return stem + [scale.permute(0, 4, 1, 2, 3) for scale in tokens]

    def forward(
        self, image: Float[Tensor, "batch channels i j k"]
    ) -> Float[Tensor, "batch outputs i j k"]:
        """Return logits on the grid of the image."""
        return self.decoder.finest(self._decode(image), image)

    def deep_supervision(self, image: Float[Tensor, "batch channels i j k"]) -> list[Tensor]:
        """Return the logits of each head, finest first, each on a grid of its own."""
        grids = self._decode(image)
        return [self.decoder.finest(grids, image), *self.decoder.coarser(grids)]

    def _decode(self, image: Tensor) -> list[Tensor]:
        """Return the decoder's features by scale, finest first."""
        grids: list[Tensor] = self.decoder([image, *self.encode(image)])
        return grids


def check_decoder(
    decoder: str, *, decoder_features: Sequence[int] | None, stem_kernel: object
) -> None:
    """Refuse options that the decoder does not have.

    Raises:
        ValueError: There is no such decoder, or it has no use for what is given.
    """
    check_choice("decoder", decoder, Decoder)
    others = {"decoder_features": decoder_features, "stem_kernel": stem_kernel}
    given = [name for name, value in others.items() if value is not None]
    if decoder == "mamba" and given:
        raise ValueError(
            f"decoder 'mamba' has no use for {' and '.join(given)}; leave out, or set to null"
        )
    if decoder_features is not None:
        check_stages(STAGES + 1, each="grid but the coarsest", decoder_features=decoder_features)


Network = SwinUMamba


def fitted(patch: Grid, spacing_mm: Spacing = ISOTROPIC) -> dict[str, Any]:
    """Return strides that suit a patch of `patch` voxels.

    Of the grid at hand, an axis is divided unless it is short, or its tokens are twice as long as
    those along another.
    """
    stem, embedding, *merges = fitting_strides(patch, STAGES + 1, spacing_mm)
    return {"stem_stride": stem, "patch_embedding": embedding, "strides": tuple(merges)}


_ONE_SLICE: dict[str, Any] = {
    "features": 96,
    "stem_stride": (1, 2, 2),
    "patch_embedding": (1, 2, 2),
    "strides": ((1, 2, 2),) * 3,
    "kernel": (1, 3, 3),
    "scan_orders": ("ijk", "ikj"),
}

SIZES: dict[str, dict[str, Any]] = {
    "tiny": {
        "features": 16,
        "depths": (1, 1, 1, 1),
        "stem_kernel": 3,
        "states": 2,
        "decoder_features": (8, 8, 16, 16, 32),
        "drop_path": 0.0,
    },
    "small": {
        "features": 48,
        "depths": (2, 2, 4, 2),
        "stem_kernel": 3,
        "states": 4,
        "decoder_features": (16, 32, 64, 128, 128),
        "drop_path": 0.1,
    },
    "base": {"features": 64, "decoder_features": (32, 64, 128, 256, 256)},
    "base_light": {"features": 64, "decoder": "mamba"},
    "published": {**_ONE_SLICE, "stem_kernel": (1, 7, 7)},
    "published_light": {**_ONE_SLICE, "decoder": "mamba"},
}

_PARTS = {
    "stem.0.": "stem.conv.",
    "stem.1.": "stem.norm.",
    "out_layers.": "decoder.heads.",
    **{f"encoder{n + 1}.": f"decoder.skips.{n}." for n in range(STAGES + 1)},
    **{f"decoder{n + 2}.": f"decoder.ups.{n}." for n in range(STAGES + 1)},
    "decoder1.": "decoder.last.",
    **{f"decoder.seg_layers.{n}.": f"decoder.heads.{2 - n}.conv.conv." for n in range(STAGES - 1)},
    **{f"decoder.concat_back_dim.{n}.": f"decoder.joining.{n}.linear." for n in range(STAGES - 1)},
    f"decoder.seg_layers.{STAGES - 1}.": "decoder.head.linear.",
    f"decoder.expand_layers.{STAGES - 1}.": "decoder.head.expanding.",
}
_INNER = {".ln_1.": ".norm.", ".self_attention.": ".mixer.", ".conv2d.": ".conv."}


def _renamed(name: str) -> str:
    """Translate a name of the reference code."""
    for theirs, ours in _PARTS.items():
        if name.startswith(theirs):
            name = ours + name.removeprefix(theirs)
            break
    for theirs, ours in _INNER.items():
        name = name.replace(theirs, ours)
    return name


def _from_vmamba(name: str) -> str | None:
    """Translate a name of VMamba; patches, the last norm and the classifier are of no use here."""
    stage = re.fullmatch(r"layers\.(\d)\.(blocks|downsample)\.(.+)", name)
    if stage is None:
        return None
    number, part, rest = stage.groups()
    place = f"layers.{number}.blocks" if part == "blocks" else f"downsamples.{number}"
    return _renamed(f"vssm_encoder.{place}.{rest}")


SOURCES = {
    "published": Source(
        what="Swin-UMamba or Swin-UMamba-D by its authors", rename=_renamed, flat=True
    ),
    "vmamba": Source(
        what="VMamba-T, first version, trained on ImageNet: vssmtiny_dp01_ckpt_epoch_292.pth",
        rename=_from_vmamba,
        part=r"vssm_encoder\.(layers|downsamples)\.",
        flat=True,
    ),
}
