"""Swin UNETR: an encoder of shifted windows, a decoder of residual convolutions.

Source: Hatamizadeh et al. 2022, Swin UNETR, https://arxiv.org/abs/2201.01266; He et al. 2023,
SwinUNETR-V2, https://doi.org/10.1007/978-3-031-43901-8_40
Differs from the reference code: the weights of MONAI 1.6 fit and give the same logits, but an image
may have any size, patches and stages may have a stride of their own along each axis, and features
are neither concatenated nor brought out of the channels-last layout.
"""

import re
from collections.abc import Sequence
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from medseg.blocks.axes import Embedded, Grid, Stride, coarser, per_axis
from medseg.blocks.checks import check_counts, check_heads, check_stages
from medseg.blocks.drop_path import rising_rates
from medseg.blocks.head import Head
from medseg.blocks.patch import Merging, PatchEmbedding, PatchMerging
from medseg.blocks.pooling import ISOTROPIC, fitting_strides
from medseg.blocks.residual import ResidualUnit, UpBlock
from medseg.blocks.swin_stage import StageOptions, SwinStage
from medseg.blocks.window_attention import ClippedBias
from medseg.blocks.windows import fitting_window
from medseg.shapes import Spacing
from medseg.weights import Source, linear_layers

STAGES = 4


class SwinTransformer(nn.Module):
    """The encoder: a patch embedding and four stages, in V2 with a residual block before each."""

    def __init__(
        self,
        in_channels: int,
        *,
        features: int,
        depths: Sequence[int],
        heads: Sequence[int],
        strides: Sequence[Stride],
        drop_path: float,
        use_v2: bool,
        options: StageOptions,
    ) -> None:
        super().__init__()
        self.use_v2 = use_v2
        self.patch_embed = PatchEmbedding(in_channels, features, stride=strides[0])
        self.dropout = nn.Dropout(options.dropout)
        for n, rates in enumerate(rising_rates(drop_path, depths)):
            stage = SwinStage(
                features * 2**n,
                heads=heads[n],
                stride=strides[n + 1],
                drop_path=rates,
                options=options,
            )
            self.add_module(f"layers{n + 1}", nn.ModuleList([stage]))
        for n in range(STAGES if use_v2 else 0):
            unit = ResidualUnit(features * 2**n, features * 2**n)
            self.add_module(f"layers{n + 1}c", nn.ModuleList([unit]))

    def forward(
        self,
        image: Float[Tensor, "batch channels x y z"],
        after_embedding: Embedded | None = None,
    ) -> list[Tensor]:
        """Return the normalised features of each scale, finest first."""
        tokens = self.dropout(self.patch_embed(image))
        if after_embedding is not None:
            tokens = after_embedding(tokens)
        scales = [tokens]
        for n in range(1, STAGES + 1):
            if self.use_v2:
                unit = self.get_submodule(f"layers{n}c.0")
                tokens = unit(tokens.permute(0, 4, 1, 2, 3)).permute(0, 2, 3, 4, 1)
            _, tokens = self.get_submodule(f"layers{n}.0")(tokens)
            scales.append(tokens)
        return [functional.layer_norm(t, t.shape[-1:]).permute(0, 4, 1, 2, 3) for t in scales]


class SwinUNETR(nn.Module):
    """Swin UNETR, and with `use_v2` SwinUNETR-V2.

    `torch.export` works for a size that the network has seen before: the layout of the windows
    depends on the size and is computed outside the trace, by the first forward pass.

    Args:
        in_channels: Channels of the image.
        out_channels: Channels of the logits.
        features: Features of a token at the finest scale; they double with each stage. MONAI's
            `feature_size`.
        use_v2: Put a residual block before each stage.
        depths: Attention blocks of each stage.
        heads: Attention heads of each stage.
        window: Tokens along each side of a window, or along each axis.
        patch_embedding: Voxels of a patch along each side, or along each axis, such as (1, 2, 2)
            for thick slices.
        strides: What each stage divides the grid by, along each side or along each axis.
        merging: The order in which neighbours are merged; "monai" and "monai_v2" are MONAI's
            `merging` and `mergingv2`, "legacy" that of the weights released before MONAI 1.5. See
            `medseg.blocks.patch.PatchMerging`.
        clipped_bias: Which bias applies in a window that a small grid clips: "monai" takes the
            first entries of the whole window's table as MONAI does, "geometric" those of the same
            offsets.
        drop_path: Probability of leaving out the last block; it rises linearly from 0 at the first.
        dropout: Probability of dropping a value of a token.
        checkpointing: Compute attention blocks again in the backward pass instead of keeping their
            values.

    Raises:
        ValueError: The heads do not divide the features of their stage, or there are not four
            stages.
    """

    HEAD_BIAS = "out.conv.conv.bias"

    def __init__(
        self,
        *,
        in_channels: int,
        out_channels: int,
        features: int = 48,
        use_v2: bool = False,
        depths: Sequence[int] = (2, 2, 2, 2),
        heads: Sequence[int] = (3, 6, 12, 24),
        window: int | Sequence[int] = 7,
        patch_embedding: int | Sequence[int] = 2,
        strides: Sequence[int | Sequence[int]] = (2, 2, 2, 2),
        merging: Merging = "monai",
        clipped_bias: ClippedBias = "monai",
        drop_path: float = 0.0,
        dropout: float = 0.0,
        checkpointing: bool = False,
    ) -> None:
        super().__init__()
        check_stages(STAGES, depths=depths, heads=heads, strides=strides)
        check_counts(features=features)
        check_heads(features, heads)
        f = features
        steps = [
            per_axis(patch_embedding, "patch_embedding"),
            *(per_axis(stride, "strides") for stride in strides),
        ]
        self.swinViT = SwinTransformer(
            in_channels,
            features=f,
            depths=depths,
            heads=heads,
            strides=steps,
            drop_path=drop_path,
            use_v2=use_v2,
            options=StageOptions(
                per_axis(window, "window"), merging, clipped_bias, dropout, checkpointing
            ),
        )
        self.encoder1 = ResidualUnit(in_channels, f)
        self.encoder2 = ResidualUnit(f, f)
        self.encoder3 = ResidualUnit(2 * f, 2 * f)
        self.encoder4 = ResidualUnit(4 * f, 4 * f)
        self.encoder10 = ResidualUnit(16 * f, 16 * f)
        self.decoder5 = UpBlock(16 * f, 8 * f, stride=steps[4])
        self.decoder4 = UpBlock(8 * f, 4 * f, stride=steps[3])
        self.decoder3 = UpBlock(4 * f, 2 * f, stride=steps[2])
        self.decoder2 = UpBlock(2 * f, f, stride=steps[1])
        self.decoder1 = UpBlock(f, f, stride=steps[0])
        self.out = Head(f, out_channels)

    def encode(
        self,
        image: Float[Tensor, "batch channels i j k"],
        *,
        after_embedding: Embedded | None = None,
    ) -> list[Tensor]:
        """Return the encoder's features by scale, finest first.

        A scale that the next stride does not divide is filled with zeros at its end.
        """
        scales: list[Tensor] = self.swinViT(image, after_embedding)
        return scales

    def forward(
        self, image: Float[Tensor, "batch channels i j k"]
    ) -> Float[Tensor, "batch outputs i j k"]:
        """Return logits on the grid of the image."""
        h0, h1, h2, h3, h4 = self.encode(image)
        x = self.decoder5(self.encoder10(h4), h3)
        x = self.decoder4(x, self.encoder4(h2))
        x = self.decoder3(x, self.encoder3(h1))
        x = self.decoder2(x, self.encoder2(h0))
        return self.out(self.decoder1(x, self.encoder1(image))).contiguous()


Network = SwinUNETR


def fitted(patch: Grid, spacing_mm: Spacing = ISOTROPIC) -> dict[str, Any]:
    """Return windows that fill the finest grid of a patch, and strides that suit thick slices.

    Where no voxel is twice as long along an axis as along another, every step halves every axis, as
    published.
    """
    embedding, *strides = fitting_strides(patch, STAGES + 1, spacing_mm, shortest=1)
    window = {"window": fitting_window(coarser(patch, embedding))}
    if embedding == (2, 2, 2):
        return window
    return {"patch_embedding": embedding, "strides": tuple(strides), **window}


SIZES = {
    "tiny": {"features": 12, "depths": (1, 2, 1, 1), "window": (3, 3, 3)},
    "small": {"features": 16, "heads": (2, 4, 8, 16)},
    "base": {"features": 48},
    "published": {"features": 48},
}


def from_pretraining(name: str) -> str | None:
    """Return our name of a weight of the encoder's self-supervised pre-training.

    Its other parts, heads for rotation, contrast and reconstruction, have no use here.
    """
    if not re.match(r"(patch_embed\.proj|layers\d\.0\.)", name):
        return None
    return f"swinViT.{linear_layers(name)}"


def merges_as_before(network: nn.Module) -> None:
    """Refuse a network that merges neighbours in another order than the weights of 2022 expect.

    Raises:
        ValueError: It does.
    """
    orders = {m.order for m in network.modules() if isinstance(m, PatchMerging)}
    if orders != {"legacy"}:
        raise ValueError(
            "these weights were trained with the merging of MONAI before 1.5; build the network "
            "with merging 'legacy' (--set network.options.merging=legacy)"
        )


SOURCES = {
    "published": Source(
        what="Swin UNETR of MONAI",
        rename=lambda name: name,
        hint="weights from before MONAI 1.5 need --set network.options.merging=legacy",
    ),
    "images": Source(what="Swin UNETR of MONAI for images", rename=lambda name: name, flat=True),
    "pretrained": Source(
        what="encoder of Swin UNETR after self-supervised pre-training (model_swinvit.pt)",
        rename=from_pretraining,
        part=r"swinViT\.(patch_embed|layers\d\.)",
        check=merges_as_before,
    ),
}
