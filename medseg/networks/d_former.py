"""D-Former: attention of neighbours and of tokens spread over the volume, in turn.

Source: Wu et al. 2022, D-Former: a U-shaped dilated transformer for 3D medical image segmentation,
https://arxiv.org/abs/2201.00462, section 3 and figure 2
Differs from the reference code: an image may have any size, and `forward` remembers nothing of the
sizes it saw; padding is masked along every axis in both scopes, and odd grids are merged along
every axis; a group is clipped along each axis alone (`short_grid="whole"` is the reference);
patches, strides and groups may differ along each axis, and any number of features and outputs goes.
All three heads are supervised (`supervised=2` is the reference, which leaves the third unused), and
they have a bias (`head_bias=False` is the reference). What a block adds begins small. Features and
skips are not concatenated, the weights are split instead. The published weights fit and give the
same logits.
"""

import functools
import itertools
import re
from collections.abc import Sequence
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from medseg.blocks.axes import Embedded, Grid, coarser, per_axis
from medseg.blocks.checkpointing import call
from medseg.blocks.checks import check_choice, check_counts, check_heads, check_stages
from medseg.blocks.drop_path import rising_rates
from medseg.blocks.group_attention import ShortGrid
from medseg.blocks.group_stage import GroupOptions, GroupStage, calm_branches
from medseg.blocks.patch import PatchEmbedding, PatchMerging
from medseg.blocks.patch_expanding import ExpandingHead, Joining, PatchExpanding
from medseg.blocks.pooling import ISOTROPIC, fitting_embedding, fitting_strides
from medseg.blocks.token_groups import fitting
from medseg.shapes import Spacing
from medseg.weights import Source, linear_layers

STAGES = 4
HEADS = 3


class DFormer(nn.Module):
    """D-Former.

    `torch.export` works for a size that the network has seen before: the layout of the groups
    depends on the size and is computed outside the trace, by the first forward pass.

    Args:
        in_channels: Channels of the image.
        out_channels: Channels of the logits.
        features: Features of a token at the finest scale; they double with each stage.
        depths: Attention blocks of each stage of the encoder; the decoder mirrors them.
        heads: Attention heads of each stage.
        group: Tokens of a group along each side, or along each axis.
        patch_embedding: Voxels of a patch along each side, or along each axis.
        strides: What each merging divides the grid by, along each side or along each axis; the
            decoder mirrors it.
        short_grid: What becomes of a group that is longer than the grid; see
            `medseg.blocks.group_attention.GroupAttention`.
        supervised: How many of the three heads `deep_supervision` returns, finest first. The
            others have parameters, as published, but are not computed and get no gradient.
        head_bias: Whether the heads add a constant to each output.
        drop_path: Probability of leaving out the last block of the encoder; it rises linearly from
            0 at the first, and falls likewise in the decoder.
        checkpointing: Compute attention blocks again in the backward pass instead of keeping their
            values.

    Raises:
        ValueError: The heads do not divide the features of their stage, there are not four stages,
            more heads are to be supervised than there are, or `short_grid` is none of the choices.
    """

    HEAD_BIAS: str
    SUPERVISION: tuple[float, ...] = (4 / 7, 2 / 7, 1 / 7)

    def __init__(
        self,
        *,
        in_channels: int,
        out_channels: int,
        features: int = 96,
        depths: Sequence[int] = (2, 2, 6, 2),
        heads: Sequence[int] = (3, 6, 12, 24),
        group: int | Sequence[int] = (2, 8, 8),
        patch_embedding: int | Sequence[int] = (2, 4, 4),
        strides: Sequence[int | Sequence[int]] = (2, 2, 2),
        short_grid: ShortGrid = "clip",
        supervised: int = HEADS,
        head_bias: bool = True,
        drop_path: float = 0.0,
        checkpointing: bool = False,
    ) -> None:
        super().__init__()
        check_stages(STAGES, depths=depths, heads=heads)
        check_stages(STAGES - 1, each="step", strides=strides)
        check_counts(features=features)
        check_heads(features, heads)
        check_choice("short_grid", short_grid, ShortGrid)
        if not 1 <= supervised <= HEADS:
            raise ValueError(f"supervised must be 1 to {HEADS}, of as many heads; got {supervised}")
        weights = [2.0**-n for n in range(supervised)]
        self.SUPERVISION = tuple(weight / sum(weights) for weight in weights)
        if head_bias:
            self.HEAD_BIAS = "heads.0.linear.bias"
        self.supervised = supervised
        self.checkpointing = checkpointing
        self.shape = features, tuple(depths), tuple(heads)
        self.strides = [per_axis(stride, "strides") for stride in strides]
        patch = per_axis(patch_embedding, "patch_embedding")
        widths = [features * 2**n for n in range(STAGES)]
        options = GroupOptions(per_axis(group, "group"), short_grid, checkpointing)
        stages = [
            {"features": width, "heads": count, "drop_path": rates, "options": options}
            for width, count, rates in zip(
                widths, heads, rising_rates(drop_path, depths), strict=True
            )
        ]
        self.patch_embed = PatchEmbedding(in_channels, features, stride=patch, normalized=True)
        self.encoder = nn.ModuleList(GroupStage(**stage) for stage in stages)
        self.mergings = nn.ModuleList(
            PatchMerging(width, stride=stride, order="monai_v2")
            for width, stride in zip(widths, self.strides, strict=False)
        )
        self.encoder_norm = nn.LayerNorm(widths[-1])
        # The parts of the decoder are numbered by their scale, finest first, as the encoder's are.
        self.expandings = nn.ModuleList(
            PatchExpanding(2 * width, width, stride=stride)
            for width, stride in zip(widths, self.strides, strict=False)
        )
        self.joinings = nn.ModuleList(Joining(width) for width in widths[:-1])
        self.decoder = nn.ModuleList(GroupStage(**stage) for stage in stages[:-1])
        self.decoder_norm = nn.LayerNorm(features)
        self.heads = nn.ModuleList(
            ExpandingHead(width, out_channels, patch=patch, bias=head_bias)
            for width in widths[:HEADS]
        )
        calm_branches([*self.encoder, *self.decoder])

    def encode(
        self,
        image: Float[Tensor, "batch channels i j k"],
        *,
        after_embedding: Embedded | None = None,
    ) -> list[Tensor]:
        """Return the encoder's features by scale, finest first.

        Those are what each stage begins with, as the decoder wants them; of the coarsest, what it
        ends with.
        """
        return [s.permute(0, 4, 1, 2, 3) for s in self._encode(image, after_embedding)]

    def forward(
        self, image: Float[Tensor, "batch channels i j k"]
    ) -> Float[Tensor, "batch outputs i j k"]:
        """Return logits on the grid of the image."""
        i, j, k = image.shape[2:]
        return self._logits(0, self._decode(self._encode(image))[0], (i, j, k))

    def deep_supervision(self, image: Float[Tensor, "batch channels i j k"]) -> list[Tensor]:
        """Return the logits of each supervised head, finest first.

        A coarser one has a voxel for each block that the strides make of the image's voxels.
        """
        i, j, k = image.shape[2:]
        logits = []
        for n, tokens in enumerate(self._decode(self._encode(image))[: self.supervised]):
            logits.append(self._logits(n, tokens, (i, j, k)))
            i, j, k = coarser((i, j, k), self.strides[n])
        return logits

    def _encode(self, image: Tensor, after_embedding: Embedded | None = None) -> list[Tensor]:
        """Return the features of each scale, finest first, channels-last."""
        tokens = self.patch_embed(image)
        if after_embedding is not None:
            tokens = after_embedding(tokens)
        scales = [tokens]
        for stage, merging in zip(self.encoder, self.mergings, strict=False):
            tokens = merging(stage(tokens))
            scales.append(tokens)
        scales[-1] = self.encoder_norm(self.encoder[-1](tokens))
        return scales

    def _decode(self, scales: list[Tensor]) -> list[Tensor]:
        """Return what the heads see, finest first; coarse ones see it before the skip is joined."""
        tokens = scales[-1]
        decoded = []
        for n in reversed(range(STAGES - 1)):
            i, j, k = scales[n].shape[1:4]
            refined = self.expandings[n](tokens, (i, j, k))
            decoded.append(refined)
            tokens = self.decoder[n](self.joinings[n](refined, scales[n]))
        decoded[-1] = self.decoder_norm(tokens)
        return decoded[::-1]

    def _logits(self, scale: int, tokens: Tensor, grid: Grid) -> Tensor:
        """Apply the head of a scale; the features of each voxel are what needs most memory."""
        return call(self.heads[scale], tokens, grid, checkpointing=self.checkpointing)


Network = DFormer


def fitted(patch: Grid, spacing_mm: Spacing = ISOTROPIC) -> dict[str, Any]:
    """Return patches, strides and groups that suit a training patch of `patch` voxels.

    Small training patches show small things and are embedded more finely. An axis is not merged
    below two tokens, nor while its tokens are twice as long as the others.
    """
    most = per_axis([4 if size >= 80 else 2 if size >= 24 else 1 for size in patch])
    embedding, token_mm = fitting_embedding(patch, spacing_mm, most=most)
    finest = coarser(patch, embedding)
    strides = fitting_strides(finest, STAGES - 1, token_mm)
    grids = list(itertools.accumulate(strides, coarser, initial=finest))
    return {"patch_embedding": embedding, "strides": tuple(strides), "group": fitting(grids)}


def renamed(patterns: Sequence[tuple[str, str]], name: str) -> str | None:
    """Return our name of a weight by the pattern that its name begins with."""
    for pattern, ours in patterns:
        beginning = re.match(pattern, name)
        if beginning:
            rest = name[beginning.end() :].replace("pos_block.proj.0.", "position.conv.")
            return beginning.expand(ours) + linear_layers(rest)
    return None


PUBLISHED = [
    (r"model_down\.patch_embed\.", "patch_embed."),
    (r"model_down\.layers\.(\d)\.downsample\.", r"mergings.\1."),
    (r"model_down\.layers\.(\d)\.", r"encoder.\1."),
    (r"model_down\.layers_up\.0\.", "expandings.2."),
    (r"model_down\.layers_up\.1\.upsample\.", "expandings.1."),
    (r"model_down\.layers_up\.2\.upsample\.", "expandings.0."),
    (r"model_down\.layers_up\.1\.", "decoder.2."),
    (r"model_down\.layers_up\.2\.", "decoder.1."),
    (r"model_down\.layers_up\.3\.", "decoder.0."),
    (r"model_down\.concat_back_dim\.1\.", "joinings.2.linear."),
    (r"model_down\.concat_back_dim\.2\.", "joinings.1.linear."),
    (r"model_down\.concat_back_dim\.3\.", "joinings.0.linear."),
    (r"model_down\.norm\.", "encoder_norm."),
    (r"model_down\.norm_up\.", "decoder_norm."),
    (r"final\.(\d)\.0\.", r"heads.\1.expanding."),
    (r"final\.(\d)\.1\.", r"heads.\1.linear."),
]


SWIN_T = (96, (2, 2, 6, 2), (3, 6, 12, 24))
SWIN = [
    (r"patch_embed\.", "patch_embed."),
    (r"layers\.(\d)\.downsample\.", r"mergings.\1."),
    (r"layers\.(\d)\.blocks\.(\d)\.", r"encoder.\1.blocks.\2."),
    (r"norm\.", "encoder_norm."),
]


def mirrored(name: str) -> str | None:
    """Name the weight in the decoder that begins as one of the encoder's blocks, as theirs do."""
    block = re.match(r"encoder\.(\d\.blocks\.)", name)
    return block.expand(r"decoder.\1") + name[block.end() :] if block else None


def has_swins_encoder(network: nn.Module) -> None:
    """Refuse a network whose encoder has other blocks than Swin-T.

    Raises:
        ValueError: It does.
    """
    if not isinstance(network, DFormer) or network.shape != SWIN_T:
        raise ValueError(
            "Swin-T has 96 features, depths (2, 2, 6, 2) and heads (3, 6, 12, 24), and so must "
            "the network; build it with size='base'"
        )


def has_published_heads(network: nn.Module) -> None:
    """Refuse a network of other heads, which the shapes of the published weights do not show.

    Raises:
        ValueError: It has others.
    """
    heads = network.shape[2] if isinstance(network, DFormer) else ()
    if heads != SWIN_T[2]:
        raise ValueError(f"the published weights have heads {SWIN_T[2]}, not {heads}")


SOURCES = {
    "published": Source(
        what="D-Former as its authors published it",
        check=has_published_heads,
        rename=functools.partial(renamed, PUBLISHED),
        hint="they belong to size 'published'",
    ),
    "swin_t": Source(
        what="Swin-T of images, into the encoder and the blocks of the decoder",
        rename=functools.partial(renamed, SWIN),
        part=r"((en|de)coder\.\d\.blocks|mergings)\.",
        hint="position encodings, expandings and joinings begin afresh",
        twin=mirrored,
        check=has_swins_encoder,
        flat=True,
    ),
}

SIZES: dict[str, dict[str, Any]] = {
    "tiny": {
        "features": 12,
        "depths": (1, 2, 1, 1),
        "group": (4, 3, 3),
        "patch_embedding": (1, 2, 2),
    },
    "small": {
        "features": 48,
        "depths": (2, 2, 2, 2),
        "heads": (2, 4, 8, 16),
        "group": (5, 7, 5),  # fills the 20 x 28 x 20 tokens of a patch of 40 x 56 x 40 voxels
        "patch_embedding": 2,
    },
    "base": {"features": 96, "group": (4, 8, 8)},
    "published": {"short_grid": "whole", "supervised": 2, "head_bias": False},
}
