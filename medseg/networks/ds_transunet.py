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

import re
from collections.abc import Sequence
from typing import Any, Literal

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from medseg.blocks.axes import Embedded, Grid, coarser, per_axis, product
from medseg.blocks.checks import (
    check_choice,
    check_counts,
    check_heads,
    check_probabilities,
    check_stages,
)
from medseg.blocks.convolution import ConvolutionUp, DecoderOptions, Mode, ShallowSkips, refine
from medseg.blocks.head import Head
from medseg.blocks.interactive_fusion import Fusion, FusionOptions, TifAttention
from medseg.blocks.patch import halvings
from medseg.blocks.pooling import ISOTROPIC, fitting_embedding, fitting_strides
from medseg.blocks.swin_encoder import SwinEncoder
from medseg.blocks.swin_stage import StageOptions
from medseg.blocks.swin_up import SwinUp
from medseg.blocks.window_attention import ClippedBias
from medseg.blocks.windows import fitting_window
from medseg.shapes import Spacing
from medseg.weights import Rename, Source, linear_layers

Image = Float[Tensor, "batch channels i j k"]
Logits = Float[Tensor, "batch outputs i j k"]
AuxiliaryLogits = Literal["own_grid", "rectified"]

STAGES = 4

LARGE = 80
"""Voxels along the longest side of a patch from which on a token takes 4."""


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
        check_choice("upsampling", upsampling, Mode)
        check_choice("auxiliary_logits", auxiliary_logits, AuxiliaryLogits)
        check_stages(STAGES, depths=depths, heads=heads)
        check_stages(STAGES, coarse_depths=coarse_depths, coarse_heads=coarse_heads)
        check_stages(STAGES - 1, each="step", strides=strides, decoder_heads=decoder_heads)
        check_counts(features=features, coarse_features=coarse_features)
        check_probabilities(
            drop_path=drop_path,
            coarse_drop_path=coarse_drop_path,
            decoder_drop_path=decoder_drop_path,
        )
        check_heads(features, heads)
        check_heads(coarse_features, coarse_heads, "coarse_heads")
        check_heads(features, decoder_heads, "decoder_heads")
        patch = per_axis(patch_embedding, "patch_embedding")
        ratio = per_axis(coarse_ratio, "coarse_ratio")
        steps = [per_axis(stride, "strides") for stride in strides]
        finer = halvings(patch)
        attention = StageOptions(
            window=per_axis(window, "window"),
            merging="monai",
            clipped_bias=clipped_bias,
            dropout=0.0,
            checkpointing=checkpointing,
            mask_filling=mask_filling,
        )
        fusion = FusionOptions(tif_attention, max_tokens, attention.window)
        options = DecoderOptions(per_axis(kernel, "kernel"), upsampling)
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

    def encode(self, image: Image, *, after_embedding: Embedded | None = None) -> list[Tensor]:
        """Return the fused features of both encoders by scale, finest first.

        The hook is called with the tokens of the fine encoder, then with those of the coarse one.
        """
        fine = self.fine(image, after_embedding)
        coarse = self.coarse(image, after_embedding)
        return [fusion(f, c) for fusion, f, c in zip(self.fusions, fine, coarse, strict=True)]

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


Network = DSTransUNet


def fitted(patch: Grid, spacing_mm: Spacing = ISOTROPIC) -> dict[str, Any]:
    """Return embedding, strides and windows that suit a training patch of `patch` voxels.

    A token takes 4 voxels, of small patches 2, and less across thick slices and along an axis
    shorter than half the longest that would keep fewer than 12 tokens. An axis is not merged below
    two tokens, nor while its tokens are twice as long as the others. Windows fill the finest grid.
    """
    most = 4 if max(patch) >= LARGE else 2
    lengths = [
        next(p for p in (4, 2, 1) if p <= most and (2 * n >= max(patch) or n >= 12 * p or p == 1))
        for n in patch
    ]
    embedding, token_mm = fitting_embedding(patch, spacing_mm, most=per_axis(lengths))
    tokens = coarser(patch, embedding)
    strides = fitting_strides(tokens, STAGES - 1, token_mm)
    return {
        "patch_embedding": embedding,
        "coarse_ratio": strides[0],
        "strides": tuple(strides),
        "window": fitting_window(tokens),
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

DOUBLE = ("first.conv.conv", "first.norm", "", "second.conv.conv", "second.norm")
"""Our names of the layers of a double convolution, which are numbered there."""

INSIDE = {
    r"(?<=^fine\.)norm(?=\d)|(?<=^coarse\.)norm(?=\d)": "norms.",
    r"\bnorm_s\b": "coarse_norm",
    r"\bnorm_l\b": "fine_norm",
    r"\blinear_s\b": "coarse_to_fine",
    r"\blinear_l\b": "fine_to_coarse",
    r"\btransformer_s\b": "coarse",
    r"\btransformer_l\b": "fine",
    r"\blayers\.0\.0\.norm\b": "norm1",
    r"\blayers\.0\.0\.fn\.to_qkv\b": "attn.qkv",
    r"\blayers\.0\.0\.fn\.to_out\.0\b": "attn.proj",
    r"\blayers\.0\.1\.norm\b": "norm2",
    r"\blayers\.0\.1\.fn\.net\.0\b": "mlp.linear1",
    r"\blayers\.0\.1\.fn\.net\.3\b": "mlp.linear2",
    r"\bup\.layer\b": "attention",
    r"\bup(\.up)+\.1\b": "up.conv.conv",
    r"\bup(\.up)+\.2\b": "up.norm",
    r"\bup\.conv_relu\.0\b": "of_low.conv",
    r"\bconv_relu\.0\b": "join.conv",
    r"\bconv2\.0\b": "of_skip.conv",
    **{rf"(?<=\.merge\.){n}\b": layer for n, layer in enumerate(DOUBLE)},
    **{rf"(?<=^shallow\.others\.0\.){n + 1}\b": layer for n, layer in enumerate(DOUBLE)},
}
"""What is called otherwise inside of our parts."""


def from_published(name: str) -> str | None:
    """Return our name of a weight of the published network."""
    part = next((theirs for theirs in PARTS if name.startswith(f"{theirs}.")), None)
    if part is None or name.endswith(".attn_mask"):
        return None
    name = PARTS[part] + name.removeprefix(part)
    for theirs, ours in INSIDE.items():
        name = re.sub(theirs, ours, name)
    return linear_layers(name)


def into(encoder: str) -> Rename:
    """Return how an encoder calls the weights of a Swin transformer that classifies images.

    The patches of the coarse encoder are larger, hence it has no use for the map of theirs.
    """
    kept = r"(patch_embed|layers)\." if encoder == "fine" else r"(patch_embed\.norm|layers)\."

    def rename(name: str) -> str | None:
        if not re.match(kept, name) or name.endswith(".attn_mask"):
            return None
        return f"{encoder}.{linear_layers(name)}"

    return rename


SOURCES = {
    "published": Source(what="DS-TransUNet of its authors", rename=from_published, flat=True),
    "swin_b": Source(
        what="Swin transformer of images (Swin-B for 128 features, Swin-T for 96), fine encoder",
        rename=into("fine"),
        part=r"fine\.(patch_embed|layers)\.",
        flat=True,
    ),
    "swin_t": Source(
        what="Swin transformer of images (Swin-T for 96 features), coarse encoder",
        rename=into("coarse"),
        part=r"coarse\.layers\.",
        flat=True,
    ),
}
