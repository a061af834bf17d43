"""Swin UNETR: an encoder of shifted windows, a decoder of residual convolutions.

Source: Hatamizadeh et al. 2022, Swin UNETR, https://arxiv.org/abs/2201.01266; He et al. 2023, SwinUNETR-V2,
https://doi.org/10.1007/978-3-031-43901-8_40
Differs from the reference code: MONAI 1.6's weights fit and give the same logits, but an image may have any size, patches and
stages may have a stride of their own along each axis, and nothing is concatenated or brought out of the
channels-last layout.
"""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from medseg.blocks.patch import Merging, PatchEmbedding, PatchMerging
from medseg.blocks.residual import ResidualUnit, UpBlock
from medseg.blocks.swin import SwinBlock
from medseg.blocks.window_attention import ClippedBias

Stride = tuple[int, int, int]
Features = Float[Tensor, "batch features i j k"]
Tokens = Float[Tensor, "batch i j k features"]


class Stage(nn.Module):
    def __init__(self, features, *, depth, heads, window, stride, merging, clipped_bias, drop_path, dropout) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            SwinBlock(
                features,
                heads=heads,
                window=window,
                shift=tuple(w // 2 for w in window) if number % 2 else (0, 0, 0),
                clipped_bias=clipped_bias,
                drop_path=drop_path[number],
                dropout=dropout,
            )
            for number in range(depth)
        )
        self.downsample = PatchMerging(features, stride=stride, order=merging)

    def forward(self, tokens: Tokens) -> Tokens:
        for block in self.blocks:
            tokens = block(tokens)
        return self.downsample(tokens)


class SwinTransformer(nn.Module):
    def __init__(self, in_channels, *, features, depths, heads, window, patch_embedding, strides, use_v2, merging, clipped_bias, drop_path, dropout) -> None:
        super().__init__()
        self.patch_embed = PatchEmbedding(in_channels, features, stride=patch_embedding)
        self.dropout = nn.Dropout(dropout)
        rates = torch.linspace(0, drop_path, sum(depths), device="cpu").tolist()
        self.use_v2 = use_v2
        for n in range(4):
            stage = Stage(features * 2**n, depth=depths[n], heads=heads[n], window=window, stride=strides[n], merging=merging, clipped_bias=clipped_bias, drop_path=rates[sum(depths[:n]) : sum(depths[: n + 1])], dropout=dropout)
            self.add_module(f"layers{n + 1}", nn.ModuleList([stage]))
        if use_v2:
            for n in range(4):
                self.add_module(f"layers{n + 1}c", nn.ModuleList([ResidualUnit(features * 2**n, features * 2**n)]))

    def forward(self, image, after_embedding=None):
        tokens = self.dropout(self.patch_embed(image))
        if after_embedding is not None:
            tokens = after_embedding(tokens)
        scales = [tokens]
        for n in range(4):
            if self.use_v2:
                (unit,) = self.get_submodule(f"layers{n + 1}c")
                tokens = unit(tokens.permute(0, 4, 1, 2, 3)).permute(0, 2, 3, 4, 1)
            (stage,) = self.get_submodule(f"layers{n + 1}")
            tokens = stage(tokens)
            scales.append(tokens)
        return [F.layer_norm(t, t.shape[-1:]).permute(0, 4, 1, 2, 3) for t in scales]


class SwinUNETR(nn.Module):
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
    ) -> None:
        super().__init__()
        if features % 12:
            raise ValueError(f"features must be a multiple of 12, got {features}")
        f = features
        embedding = per_axis(patch_embedding)
        steps = [embedding, *map(per_axis, strides)]
        self.divisor = tuple(torch.tensor(steps, device="cpu").prod(0).tolist())
        self.swinViT = SwinTransformer(in_channels, features=f, depths=depths, heads=heads, window=per_axis(window), patch_embedding=embedding, strides=steps[1:], use_v2=use_v2, merging=merging, clipped_bias=clipped_bias, drop_path=drop_path, dropout=dropout)
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
        self.out = nn.Module()
        self.out.conv = nn.Module()
        self.out.conv.conv = nn.Conv3d(f, out_channels, 1)

    def encode(self, image: Features, *, after_embedding: Callable[[Tokens], Tokens] | None = None) -> list[Features]:
        """Return the features of the encoder by scale, finest first."""
        return self.swinViT(pad(image, self.divisor), after_embedding)

    def forward(self, image: Features) -> Features:
        """Return logits on the grid of the image."""
        padded = pad(image, self.divisor).contiguous(memory_format=torch.channels_last_3d)
        h0, h1, h2, h3, h4 = self.encode(padded)
        x = self.decoder5(self.encoder10(h4), h3)
        x = self.decoder4(x, self.encoder4(h2))
        x = self.decoder3(x, self.encoder3(h1))
        x = self.decoder2(x, self.encoder2(h0))
        x = self.decoder1(x, self.encoder1(padded))
        logits = self.out.conv.conv(x)
        i, j, k = image.shape[2:]
        return logits[:, :, :i, :j, :k].contiguous()


def per_axis(value):
    return (value,) * 3 if isinstance(value, int) else tuple(value)


def pad(image, divisor):
    i, j, k = (-n % d for n, d in zip(image.shape[2:], divisor, strict=True))
    return F.pad(image, (0, k, 0, j, 0, i)) if i or j or k else image


Network = SwinUNETR
TINY = {"features": 12}
