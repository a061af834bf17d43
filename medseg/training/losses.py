"""Dice with cross-entropy, for exclusive and for overlapping regions, at one scale or several.

Source: Milletari et al. 2016, V-Net, https://arxiv.org/abs/1606.04797 (soft Dice); its sum with
cross-entropy as in Isensee et al. 2021, nnU-Net, https://doi.org/10.1038/s41592-020-01008-z; Lee et
al. 2015, Deeply-supervised nets, https://arxiv.org/abs/1409.5185
"""

from collections.abc import Sequence
from typing import Final

import torch
from jaxtyping import Float, Float32
from torch import Tensor
from torch.nn import functional

from medseg.training import processes

SMOOTH: Final = 1e-5
"""Added to both sides of the Dice fraction, so that an absent structure has a gradient."""

Logits = Float[Tensor, "batch outputs i j k"]
Targets = Float32[Tensor, "batch outputs i j k"]
Scale = Float[Tensor, "batch outputs _ _ _"]
Loss = Float32[Tensor, ""]


def dice_cross_entropy(logits: Logits, targets: Targets, *, exclusive: bool) -> Loss:
    """Return (1 - soft Dice) + cross-entropy; smaller is better, 0 is best.

    Args:
        logits: Of a network.
        targets: 1 where an output should be on, 0 elsewhere.
        exclusive: Whether outputs exclude each other, background first (softmax), or may overlap
            (sigmoid).
    """
    scores = logits.float()
    if exclusive:
        log_probabilities = functional.log_softmax(scores, dim=1)
        cross_entropy = -(targets * log_probabilities).sum(dim=1).mean()
        dice = soft_dice(log_probabilities[:, 1:].exp(), targets[:, 1:])
    else:
        cross_entropy = functional.binary_cross_entropy_with_logits(scores, targets)
        dice = soft_dice(scores.sigmoid(), targets)
    return (1.0 - dice) + cross_entropy


def supervised(
    scales: Sequence[Scale], weights: Sequence[float], targets: Targets, *, exclusive: bool
) -> Loss:
    """Return the weighted sum of the losses of logits at several scales (deep supervision).

    Args:
        scales: Logits, each on a grid of its own; the first on that of the targets.
        weights: Of each; a scale of weight 0 is left out.
        targets: 1 where an output should be on, 0 elsewhere; coarser grids take the voxel at the
            centre of each block that one of theirs stands for.
        exclusive: Whether outputs exclude each other, background first (softmax), or may overlap
            (sigmoid).
    """
    losses = [
        weight * dice_cross_entropy(logits, on_grid_of(logits, targets), exclusive=exclusive)
        for logits, weight in zip(scales, weights, strict=True)
        if weight
    ]
    return torch.stack(losses).sum()


def on_grid_of(
    logits: Logits, targets: Float32[Tensor, "batch outputs fine_i fine_j fine_k"]
) -> Targets:
    """Bring targets to the grid of coarser logits, whose voxels stand for blocks of theirs."""
    for axis in (2, 3, 4):
        coarse, fine = logits.shape[axis], targets.shape[axis]
        if coarse < fine:
            chosen = torch.tensor(centres(fine, coarse), device=targets.device)
            targets = targets.index_select(axis, chosen)
    return targets


def centres(fine: int, coarse: int) -> list[int]:
    """Return which of `fine` voxels are the centres of `coarse` blocks, the last perhaps cut.

    Networks divide a grid by strides and fill it up at its end: block c begins at voxel c * stride,
    whether or not the stride divides the grid. The stride is the smallest power of two that makes
    so many blocks, else the smallest number.
    """
    candidates = [*(2**n for n in range(fine.bit_length() + 1)), *range(1, fine + 1)]
    strides = (s for s in candidates if -(-fine // s) == coarse)
    stride = next(strides, -(-fine // coarse))
    return [min(stride // 2 + c * stride, fine - 1) for c in range(coarse)]


def soft_dice(probabilities: Targets, targets: Targets) -> Loss:
    """Return the mean over outputs of the soft Dice of the whole batch, 0 to 1.

    The batch is pooled, over all processes that train together: a patch without a structure then
    does not count as a total miss.
    """
    axes = (0, 2, 3, 4)
    both = processes.total((probabilities * targets).sum(axes))
    either = processes.total(probabilities.sum(axes) + targets.sum(axes))
    return ((2.0 * both + SMOOTH) / (either + SMOOTH)).mean()
