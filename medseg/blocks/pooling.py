"""Which axes of a grid are halved, and when: those of thick slices late, short ones never.

Source: Isensee et al. 2021, nnU-Net, https://doi.org/10.1038/s41592-020-01008-z, supplement: an
axis is halved while its voxels are less than twice as long as those of the finest axis that can
still be halved
Differs from the reference code: a network with a fixed number of steps goes on until fewer tokens
remain along an axis.
"""

import itertools
from collections.abc import Iterator, Sequence
from typing import Final

from medseg.blocks.axes import Grid, Stride, coarser, per_axis, product
from medseg.shapes import Spacing

THICK: Final = 2.0
"""Along an axis whose voxels are so many times as long as the finest, a grid is not halved yet."""

SHORTEST: Final = 4
"""Tokens along an axis below which they are not merged."""

ISOTROPIC: Final[Spacing] = (1.0, 1.0, 1.0)

_LEAST: Final = 4
"""Voxels that nnU-Net leaves along each axis of its coarsest grid."""


def steps(grid: Grid, spacing_mm: Spacing, *, shortest: int) -> Iterator[Stride]:
    """Yield, without end, the next stride: 2 along the axes to halve, 1 along the others.

    Args:
        grid: Voxels or tokens along each axis.
        spacing_mm: How long one is along each axis.
        shortest: An axis with fewer is not halved.
    """
    while True:
        long = [n >= shortest for n in grid]
        finest = min((s for s, is_long in zip(spacing_mm, long, strict=True) if is_long), default=1)
        halved = [x and s / finest < THICK for x, s in zip(long, spacing_mm, strict=True)]
        stride = per_axis([2 if now else 1 for now in halved])
        yield stride
        grid = coarser(grid, stride)
        spacing_mm = scaled(spacing_mm, stride)


def fitting_strides(
    grid: Grid, count: int, spacing_mm: Spacing = ISOTROPIC, *, shortest: int = SHORTEST
) -> list[Stride]:
    """Return the first `count` of `steps`, for a network that has so many."""
    return list(itertools.islice(steps(grid, spacing_mm, shortest=shortest), count))


def fitting_embedding(
    patch: Grid, spacing_mm: Spacing = ISOTROPIC, *, most: Grid
) -> tuple[Stride, Spacing]:
    """Return how many voxels a token takes, fewer across thick slices, and how long it then is.

    Args:
        patch: Voxels along each axis.
        spacing_mm: How long one is along each axis.
        most: Voxels of a token at most, powers of 2; an axis with fewer than the longest counts as
            if it had as many, so that it is merged with the others.
    """
    whole = product(
        (1, 1, 1), *fitting_strides(patch, max(most).bit_length() - 1, spacing_mm, shortest=1)
    )
    i, j, k = map(min, whole, most)
    return (i, j, k), scaled(spacing_mm, whole)


def scaled(spacing_mm: Spacing, stride: Stride) -> Spacing:
    """Return how long a token is that takes `stride` voxels along each axis."""
    x, y, z = (s * n for s, n in zip(spacing_mm, stride, strict=True))
    return (x, y, z)


def nnunet_strides(patch: Grid, spacing_mm: Spacing) -> list[Stride]:
    """Return the strides of nnU-Net's network for a patch, as many as its rule makes."""
    strides = []
    grid = patch
    for stride in steps(patch, spacing_mm, shortest=2 * _LEAST):
        halved = [n for n, s in zip(grid, stride, strict=True) if s == 2]
        if not halved or (len(halved) == 1 and halved[0] < 3 * _LEAST):
            break
        strides.append(stride)
        grid = coarser(grid, stride)
    return strides


def nnunet_kernels(strides: Sequence[Stride], spacing_mm: Spacing) -> list[Stride]:
    """Return the kernels of nnU-Net's network for each of its scales, finest first.

    A kernel reaches across slices from the scale on where they are no longer thick; on the coarsest
    it always does.
    """
    kernels = []
    wide = [False] * 3
    for stride in strides:
        finest = min(spacing_mm)
        wide = [w or s / finest < THICK for w, s in zip(wide, spacing_mm, strict=True)]
        kernels.append(per_axis([3 if reaches else 1 for reaches in wide]))
        spacing_mm = scaled(spacing_mm, stride)
    return [*kernels, (3, 3, 3)]
