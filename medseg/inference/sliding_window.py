"""A network applied patch by patch to an image of any size.

Patches overlap; where they do, logits are averaged with a Gaussian weight that trusts the middle
of a patch more than its border.

Source: Isensee et al. 2021, nnU-Net, https://doi.org/10.1038/s41592-020-01008-z, supplement.
"""

import itertools
import math
from collections.abc import Iterator

import torch
from jaxtyping import Float, Float32
from torch import Tensor, nn
from torch.nn import functional

from medseg.inference.blend_weight import Blend, weight
from medseg.shapes import Shape


def predict_logits(
    network: nn.Module,
    image: Float32[Tensor, "channels i j k"],
    *,
    patch: Shape,
    overlap: float,
    batch: int,
    blend: Blend = "gaussian",
    precision: torch.dtype = torch.float32,
) -> Float32[Tensor, "outputs i j k"]:
    """Return the logits of every voxel.

    Args:
        network: In evaluation mode, on the device of `image`.
        image: Normalised channels; smaller than the patch is padded with zeros.
        patch: Voxels along each axis.
        overlap: Part of a patch that its neighbour covers too, at least 0 and below 1.
        batch: Patches computed at once.
        blend: How overlapping patches are averaged.
        precision: What the network computes in; the sum is in float32.
    """
    padded, inner = _padded(image, patch)
    extent = (padded.shape[1], padded.shape[2], padded.shape[3])
    trust = weight(patch, blend).to(image.device)
    total: Tensor | None = None
    weights = torch.zeros(extent, device=image.device)
    for starts in _batched(patch_starts(extent, patch, overlap), batch):
        places = [tuple(map(slice, start, _ends(start, patch))) for start in starts]
        patches = torch.stack([padded[(slice(None), *place)] for place in places])
        logits = _forward(network, patches, precision)
        if total is None:
            total = torch.zeros((logits.shape[1], *extent), device=image.device)
        for place, part in zip(places, logits, strict=True):
            total[(slice(None), *place)].addcmul_(part.float(), trust)
            weights[place] += trust
    if total is None:  # there is at least one patch; this satisfies the type checker
        raise ValueError(f"an image of {extent} has no patches of {patch}")
    return (total.div_(weights))[(slice(None), *inner)]


def patch_starts(extent: Shape, patch: Shape, overlap: float) -> list[Shape]:
    """Return the first voxel of every patch; together they cover `extent`.

    Along each axis the patches are as few as `overlap` allows and evenly spaced. `extent` is at
    least `patch`.
    """
    axes = []
    for length, size in zip(extent, patch, strict=True):
        step = max(1, math.floor(size * (1 - overlap) + 1e-9))  # 10 * (1 - 0.8) is below 2
        gaps = math.ceil((length - size) / step)
        axes.append([round((length - size) * n / gaps) for n in range(gaps + 1)] if gaps else [0])
    return [(i, j, k) for i, j, k in itertools.product(*axes)]


def _forward(
    network: nn.Module, patches: Float32[Tensor, "batch channels i j k"], precision: torch.dtype
) -> Float[Tensor, "batch outputs i j k"]:
    mixed = precision != torch.float32
    with (
        torch.inference_mode(),
        torch.autocast(
            patches.device.type,
            dtype=precision if mixed else None,
            enabled=mixed,
        ),
    ):
        return network(patches)


def _padded(
    image: Float32[Tensor, "channels i j k"], patch: Shape
) -> tuple[Float32[Tensor, "channels a b c"], tuple[slice, slice, slice]]:
    """Pad `image` evenly to at least `patch`, and say where it lies in the result."""
    missing = [max(0, size - length) for size, length in zip(patch, image.shape[1:], strict=True)]
    before = [total // 2 for total in missing]
    padding = [
        amount
        for first, total in zip(reversed(before), reversed(missing), strict=True)
        for amount in (first, total - first)
    ]
    i, j, k = (
        slice(first, first + length) for first, length in zip(before, image.shape[1:], strict=True)
    )
    return functional.pad(image, padding), (i, j, k)


def _ends(start: Shape, patch: Shape) -> Shape:
    return (start[0] + patch[0], start[1] + patch[1], start[2] + patch[2])


def _batched(starts: list[Shape], batch: int) -> Iterator[list[Shape]]:
    for first in range(0, len(starts), batch):
        yield starts[first : first + batch]
