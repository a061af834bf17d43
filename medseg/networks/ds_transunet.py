"""DS-TransUNet: two Swin encoders of different patches, fused at each scale, and a Swin decoder.

Source: Lin et al. 2022, DS-TransUNet, https://doi.org/10.1109/TIM.2022.3178991,
https://arxiv.org/abs/2106.06716; its encoders: Liu et al. 2021, Swin transformer,
https://arxiv.org/abs/2103.14030
Differs from the reference code: three dimensions, of which an image with one slice is the special
case, any size, and a stride along each axis for patches and stages; attention across a whole grid
keeps no map, or sees means of it; features are upsampled linearly, auxiliary logits stay on their
own grid and are not rectified; as many features are normalised together as divide them. Size
`published` has what is published; weights for it give the same logits.
"""

import itertools
import math
import re
from collections.abc import Sequence
from typing import Any, Literal

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from medseg.blocks.convolution import (
    BiasedConvolution,
    ConvolutionUp,
    DecoderOptions,
    DoubleConvolution,
    Joined,
    Mode,
    NormalizedConvolution,
    refine,
)
from medseg.blocks.head import Head
from medseg.blocks.interactive_fusion import FusionOptions, InteractiveFusion, TifAttention
from medseg.blocks.patch import PatchEmbedding, Stride, per_axis
from medseg.blocks.residual import Features
from medseg.blocks.swin_encoder import Embedded, SwinEncoder
from medseg.blocks.swin_stage import StageOptions, SwinStage
from medseg.blocks.window_attention import ClippedBias
from medseg.weights import Rename, Source

Image = Float[Tensor, "batch channels i j k"]
Logits = Float[Tensor, "batch outputs i j k"]
AuxiliaryLogits = Literal["own_grid", "rectified"]

STAGES = 4

LARGE = 80
"""Voxels along the longest side of a patch from which on a token takes 4."""

FEW = 4
"""Tokens along an axis below which they are not merged."""


class Fusion(nn.Module):
    """The two encoders' tokens of one scale, after their exchange, as one grid of features."""

    def __init__(
        self,
        features: int,
        coarse_features: int,
        *,
        ratio: Stride,
        fusion: FusionOptions,
        options: DecoderOptions,
    ) -> None:
        super().__init__()
        self.ratio = ratio
        self.upsampling = options.upsampling
        self.exchange = InteractiveFusion(features, coarse_features, options=fusion)
        self.merge = DoubleConvolution(features + coarse_features, features, kernel=options.kernel)

    def forward(
        self,
        fine: Float[Tensor, "batch i j k many"],
        coarse: Float[Tensor, "batch less_i less_j less_k few"],
    ) -> Float[Tensor, "batch many i j k"]:
        """Return features on the fine grid."""
        fine, coarse = (t.permute(0, 4, 1, 2, 3) for t in self.exchange(fine, coarse))
        merged: Tensor = self.merge(fine, refine(coarse, self.ratio, fine, self.upsampling))
        return merged


class SwinUp(nn.Module):
    """Refine a coarse grid, let it attend in windows, and join the features of the encoders."""

    def __init__(
        self,
        features: int,
        *,
        heads: int,
        stride: Stride,
        drop_path: float,
        options: DecoderOptions,
        attention: StageOptions,
    ) -> None:
        super().__init__()
        half, quarter = features // 2, features // 4
        self.stride = stride
        self.upsampling = options.upsampling
        self.up = NormalizedConvolution(features, half, kernel=options.kernel)
        self.attention = SwinStage(
            half, heads=heads, stride=None, drop_path=[0.0, drop_path], options=attention
        )
        self.of_low = BiasedConvolution(half, quarter, kernel=1, rectified=True)
        self.of_skip = BiasedConvolution(half, quarter, kernel=1, rectified=True)
        self.join = BiasedConvolution(half, half, kernel=options.kernel, rectified=True)

    def forward(self, low: Features, skip: Joined) -> Joined:
        """Return features on the grid of `skip`."""
        x = self.up(refine(low, self.stride, skip, self.upsampling))
        x = self.attention(x.permute(0, 2, 3, 4, 1)).permute(0, 4, 1, 2, 3)
        joined: Tensor = self.join(self.of_skip(skip), self.of_low(x))
        return joined


class ShallowSkips(nn.Module):
    """Convolutions of the image itself, at each scale finer than the tokens; finest first."""

    def __init__(
        self, in_channels: int, features: int, *, strides: Sequence[Stride], kernel: int | Stride
    ) -> None:
        super().__init__()
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


class DSTransUNet(nn.Module):
    """DS-TransUNet.

    `torch.export` works for a size that the network has seen before: the layout of the windows
    depends on the size and is computed outside the trace, by the first forward pass.

    Args:
        in_channels: Channels of the image.
        out_channels: Channels of the logits.
        features: Features of a token of the fine encoder at its finest scale; they double with
            each stage.
        coarse_features: The same of the coarse encoder.
        depths: Attention blocks of each stage of the fine encoder.
        coarse_depths: The same of the coarse encoder.
        heads: Attention heads of each stage of the fine encoder.
        coarse_heads: The same of the coarse encoder.
        decoder_heads: Attention heads of each step of the decoder, finest first.
        window: Tokens along each side of a window, or along each axis.
        patch_embedding: Voxels of the fine encoder's patch along each side, or along each axis,
            such as (1, 4, 4) for thick slices; powers of 2. Down to it, each halving has a shallow
            skip connection of its own.
        coarse_ratio: How many times as long the patch of the coarse encoder is.
        strides: What the first three stages divide the grid by, along each side or each axis.
        kernel: Voxels of a convolution along each side, or along each axis.
        tif_attention: Which tokens see each other where the encoders are fused: all of a scale
            ("global"), all, but as at most `max_tokens` means of neighbours ("pooled_kv"), or those
            of a window ("window"). Each of them sees the mean of the other encoder's.
        max_tokens: See `tif_attention`.
        clipped_bias: What becomes of a window larger than the grid; see
            `medseg.blocks.window_attention.WindowAttention`.
        mask_filling: Let no token see the zeros that a grid is filled up with to whole windows.
        upsampling: How features are brought to a finer grid.
        auxiliary_logits: "own_grid": as the network computes them; "rectified": as published,
            without what is negative, and upsampled to the grid of the image.
        drop_path: Probability of leaving out the last block of the fine encoder; it rises linearly
            from 0 at the first.
        coarse_drop_path: The same of the coarse encoder.
        decoder_drop_path: Probability of leaving out the second block of a step of the decoder.
        checkpointing: Compute attention blocks again in the backward pass instead of keeping their
            values.

    Raises:
        ValueError: The options make no network; it says which, and what would.
    """

    HEAD_BIAS = "head.conv.conv.bias"
    SUPERVISION = (0.6, 0.2, 0.2)

    def __init__(
        self,
        *,
        in_channels: int,
        out_channels: int,
        features: int = 96,
        coarse_features: int = 48,
        depths: Sequence[int] = (2, 2, 6, 2),
        coarse_depths: Sequence[int] = (2, 2, 2, 2),
        heads: Sequence[int] = (3, 6, 12, 24),
        coarse_heads: Sequence[int] = (3, 6, 12, 24),
        decoder_heads: Sequence[int] = (2, 4, 8),
        window: int | Sequence[int] = 7,
        patch_embedding: int | Sequence[int] = 4,
        coarse_ratio: int | Sequence[int] = 2,
        strides: Sequence[int | Sequence[int]] = (2, 2, 2),
        kernel: int | Sequence[int] = 3,
        tif_attention: TifAttention = "pooled_kv",
        max_tokens: int = 4096,
        clipped_bias: ClippedBias = "geometric",
        mask_filling: bool = True,
        upsampling: Mode = "trilinear",
        auxiliary_logits: AuxiliaryLogits = "own_grid",
        drop_path: float = 0.0,
        coarse_drop_path: float = 0.0,
        decoder_drop_path: float = 0.0,
        checkpointing: bool = False,
    ) -> None:
        super().__init__()
        patch, ratio = per_axis(patch_embedding), per_axis(coarse_ratio)
        steps = [per_axis(stride) for stride in strides]
        finer = halvings(patch)
        check(features, depths, heads, "")
        check(coarse_features, coarse_depths, coarse_heads, "coarse_")
        check_decoder(features, steps, decoder_heads, halved=len(finer))
        attention = StageOptions(
            window=per_axis(window),
            merging="monai",
            clipped_bias=clipped_bias,
            dropout=0.0,
            checkpointing=checkpointing,
            mask_filling=mask_filling,
        )
        fusion = FusionOptions(tif_attention, max_tokens, per_axis(window))
        options = DecoderOptions(per_axis(kernel), upsampling)
        f, c = features, coarse_features
        self.auxiliary_logits = auxiliary_logits
        self.grids = (patch, product(patch, *steps))
        self.fine = SwinEncoder(
            in_channels,
            features=f,
            depths=depths,
            heads=heads,
            strides=[patch, *steps],
            drop_path=drop_path,
            options=attention,
        )
        self.coarse = SwinEncoder(
            in_channels,
            features=c,
            depths=coarse_depths,
            heads=coarse_heads,
            strides=[product(patch, ratio), *steps],
            drop_path=coarse_drop_path,
            options=attention,
        )
        self.fusions = nn.ModuleList(
            Fusion(f * 2**n, c * 2**n, ratio=ratio, fusion=fusion, options=options)
            for n in range(STAGES)
        )
        self.shallow = ShallowSkips(in_channels, f, strides=finer, kernel=options.kernel)
        self.swin_ups = nn.ModuleList(
            SwinUp(
                f * 2 ** (n + 1),
                heads=decoder_heads[n],
                stride=steps[n],
                drop_path=decoder_drop_path,
                options=options,
                attention=attention,
            )
            for n in range(STAGES - 1)
        )
        self.ups = nn.ModuleList(
            ConvolutionUp(f // 2 ** (len(finer) - n - 1), stride=finer[n], options=options)
            for n in range(len(finer))
        )
        self.head = Head(f // 2 ** len(finer), out_channels)
        self.middle_head = Head(f, out_channels)
        self.deepest_head = Head(f * 2 ** (STAGES - 1), out_channels)

    def encode(
        self, image: Image, *, after_embedding: Embedded | None = None
    ) -> list[Tensor]:
        """Return the fused features of both encoders by scale, finest first.

        The hook is called with the tokens of the fine encoder, then with those of the coarse one.
        """
        fine = self.fine(image, after_embedding)
        coarse = self.coarse(image, after_embedding)
        return [
            fusion(f, c) for fusion, f, c in zip(self.fusions, fine, coarse, strict=True)
        ]

    def forward(self, image: Image) -> Logits:
        """Return logits on the grid of the image."""
        return self._finish(self._decode(self.encode(image)), image)

    def deep_supervision(self, image: Image) -> list[Tensor]:
        """Return the logits of the image's grid, those of the finest and of the coarsest tokens."""
        scales = self.encode(image)
        middle = self._decode(scales)
        auxiliary = [self.middle_head(middle), self.deepest_head(scales[-1])]
        if self.auxiliary_logits == "rectified":
            auxiliary = [
                refine(functional.relu(logits), stride, image, "nearest")
                for logits, stride in zip(auxiliary, self.grids, strict=True)
            ]
        return [self._finish(middle, image), *(logits.contiguous() for logits in auxiliary)]

    def _decode(self, scales: list[Tensor]) -> Tensor:
        """Return features on the grid of the finest tokens."""
        x = scales[-1]
        for up, skip in zip(reversed(self.swin_ups), reversed(scales[:-1]), strict=True):
            x = up(x, skip)
        return x

    def _finish(self, x: Tensor, image: Tensor) -> Tensor:
        """Return logits from the features of the finest tokens, and shallow ones."""
        skips = self.shallow(image)
        for up, skip in zip(reversed(self.ups), reversed(skips), strict=True):
            x = up(x, skip)
        logits: Tensor = self.head(x)
        return logits.contiguous()


def product(*strides: Stride) -> Stride:
    """Multiply strides along each axis."""
    i, j, k = (math.prod(along) for along in zip(*strides, strict=True))
    return i, j, k


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


def check(features: int, depths: Sequence[int], heads: Sequence[int], prefix: str) -> None:
    """Refuse options that make no encoder; the options' names begin with `prefix`.

    Raises:
        ValueError: Some do not.
    """
    if not len(depths) == len(heads) == STAGES:
        raise ValueError(
            f"{prefix}depths and {prefix}heads need {STAGES} entries, one for each stage, "
            f"got {len(depths)} and {len(heads)}"
        )
    for stage, count in enumerate(heads):
        if features * 2**stage % count:
            raise ValueError(
                f"{count} {prefix}heads do not divide the {features * 2**stage} features of stage "
                f"{stage + 1}; choose features and heads that do, such as 24 and (3, 6, 12, 24)"
            )


def check_decoder(
    features: int, strides: Sequence[Stride], heads: Sequence[int], *, halved: int
) -> None:
    """Refuse options that make no decoder.

    Raises:
        ValueError: Some do not.
    """
    if not len(strides) == len(heads) == STAGES - 1:
        raise ValueError(
            f"strides and decoder_heads need {STAGES - 1} entries, one for each step between "
            f"stages, got {len(strides)} and {len(heads)}"
        )
    if features % 2 ** max(1, halved):
        raise ValueError(
            f"features must be a multiple of {2 ** max(1, halved)}, for they are halved with each "
            f"step from the patch embedding to the image, got {features}"
        )
    for step, count in enumerate(heads):
        if features * 2**step % count:
            raise ValueError(
                f"{count} decoder_heads do not divide the {features * 2**step} features of step "
                f"{step + 1}; choose a divisor"
            )


Network = DSTransUNet


def fitted(patch: tuple[int, int, int]) -> dict[str, Any]:
    """Return embedding, strides and windows that suit a training patch of `patch` voxels.

    A token takes 4 voxels, of small patches 2, and fewer along an axis that would keep less than
    12 tokens. An axis with less than 4 tokens is not merged. Windows fill the finest grid.
    """
    most = 4 if max(patch) >= LARGE else 2
    embedding = tuple(max(p for p in (1, 2, 4) if p <= most and (p == 1 or n >= 12 * p)) for n in patch)
    tokens = [-(-n // p) for n, p in zip(patch, embedding, strict=True)]
    window = tuple(min((7, 6, 5), key=lambda w: -(-n // w) * w) for n in tokens)
    ratio = tuple(2 if n >= FEW else 1 for n in tokens)
    strides = []
    for _ in range(STAGES - 1):
        strides.append(tuple(2 if n >= FEW else 1 for n in tokens))
        tokens = [-(-n // s) for n, s in zip(tokens, strides[-1], strict=True)]
    return {
        "patch_embedding": embedding,
        "coarse_ratio": ratio,
        "strides": tuple(strides),
        "window": window,
    }


SIZES: dict[str, dict[str, Any]] = {
    "tiny": {
        "features": 8,
        "coarse_features": 8,
        "depths": (1, 2, 1, 1),
        "coarse_depths": (1, 1, 1, 1),
        "heads": (1, 2, 4, 8),
        "coarse_heads": (1, 2, 4, 8),
        "decoder_heads": (1, 2, 4),
        "window": 3,
        "patch_embedding": 2,
        "max_tokens": 64,
    },
    "small": {
        "features": 32,
        "coarse_features": 24,
        "depths": (2, 2, 2, 2),
        "heads": (1, 2, 4, 8),
        "coarse_heads": (1, 2, 4, 8),
        "decoder_heads": (1, 2, 4),
        "patch_embedding": 2,
        "max_tokens": 256,
    },
    "base": {},
    "base_light": {"features": 48, "coarse_features": 24, "depths": (2, 2, 2, 2)},
    "published": {
        "features": 128,
        "coarse_features": 96,
        "depths": (2, 2, 18, 2),
        "coarse_depths": (2, 2, 6, 2),
        "heads": (4, 8, 16, 32),
        "window": (1, 7, 7),
        "patch_embedding": (1, 4, 4),
        "coarse_ratio": (1, 2, 2),
        "strides": ((1, 2, 2), (1, 2, 2), (1, 2, 2)),
        "kernel": (1, 3, 3),
        "tif_attention": "global",
        "clipped_bias": "unclipped",
        "mask_filling": False,
        "upsampling": "nearest",
        "auxiliary_logits": "rectified",
        "drop_path": 0.5,
        "coarse_drop_path": 0.2,
        "decoder_drop_path": 0.2,
    },
}

PARTS = {
    "encoder": "fine",
    "encoder2": "coarse",
    "down1": "shallow.first.conv",
    "down2.conv": "shallow.others.0",
    "final": "head.conv.conv",
    "loss2.0": "middle_head.conv.conv",
    "loss1.0": "deepest_head.conv.conv",
    **{f"cross_att_{n + 1}": f"fusions.{n}.exchange" for n in range(STAGES)},
    **{f"change{n + 1}.conv": f"fusions.{n}.merge" for n in range(STAGES)},
    **{f"layer{n + 1}": f"swin_ups.{2 - n}" for n in range(3)},
    **{f"layer{n + 4}": f"ups.{1 - n}" for n in range(2)},
}
"""The published names of our parts."""

RULES = tuple(
    (re.compile(pattern), ours)
    for pattern, ours in (
        (r"^((fine|coarse)\.norm)(?=\d)", r"\1s."),
        (r"\.mlp\.fc(?=\d)", ".mlp.linear"),
        (r"\.norm_s\.", ".coarse_norm."),
        (r"\.norm_l\.", ".fine_norm."),
        (r"\.linear_s\.", ".coarse_to_fine."),
        (r"\.linear_l\.", ".fine_to_coarse."),
        (r"\.transformer_s\.", ".coarse."),
        (r"\.transformer_l\.", ".fine."),
        (r"\.layers\.0\.0\.fn\.to_qkv\.", ".attn.qkv."),
        (r"\.layers\.0\.0\.fn\.to_out\.0\.", ".attn.proj."),
        (r"\.layers\.0\.([01])\.norm\.", lambda found: f".norm{int(found[1]) + 1}."),
        (r"\.layers\.0\.1\.fn\.net\.0\.", ".mlp.linear1."),
        (r"\.layers\.0\.1\.fn\.net\.3\.", ".mlp.linear2."),
        (r"^(fusions\.\d\.merge)\.0\.", r"\1.first.conv.conv."),
        (r"^(fusions\.\d\.merge)\.1\.", r"\1.first.norm."),
        (r"^(fusions\.\d\.merge)\.3\.", r"\1.second.conv.conv."),
        (r"^(fusions\.\d\.merge)\.4\.", r"\1.second.norm."),
        (r"^(shallow\.others\.0)\.1\.", r"\1.first.conv.conv."),
        (r"^(shallow\.others\.0)\.2\.", r"\1.first.norm."),
        (r"^(shallow\.others\.0)\.4\.", r"\1.second.conv.conv."),
        (r"^(shallow\.others\.0)\.5\.", r"\1.second.norm."),
        (r"\.up\.layer\.", ".attention."),
        (r"\.up(\.up)+\.1\.", ".up.conv.conv."),
        (r"\.up(\.up)+\.2\.", ".up.norm."),
        (r"\.up\.conv_relu\.0\.", ".of_low.conv."),
        (r"\.conv_relu\.0\.", ".join.conv."),
        (r"\.conv2\.0\.", ".of_skip.conv."),
    )
)
"""What else is called otherwise, in the names that begin with our parts."""


def from_published(name: str) -> str | None:
    """Return our name of a published weight."""
    for theirs, ours in PARTS.items():
        if name.startswith(f"{theirs}."):
            name = ours + name.removeprefix(theirs)
            break
    else:
        return None
    for pattern, replacement in RULES:
        name = pattern.sub(replacement, name)
    return None if name.endswith(".attn_mask") else name
