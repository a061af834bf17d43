"""How large a patch is, and how many make a batch, by nnU-Net's rules and the memory.

1. A patch begins as large as the median case at the plan's spacing, and no larger than 256x256x256
   voxels of that aspect in millimetres; each axis is rounded up to what the poolings of nnU-Net's
   network divide.
2. While it has more voxels than is worth the time, or a batch does not fit, the axis that is
   longest beside the median case's is shortened, to the next length that the poolings divide; one
   of 32 voxels or fewer stays.
3. A batch is 2. On a GPU it grows to what fits, but not beyond a twentieth of the training voxels.

Source: Isensee et al. 2021, nnU-Net, https://doi.org/10.1038/s41592-020-01008-z, supplement
Differs from the reference code: the second condition of step 2, and short axes stay; memory is
counted of the network that is trained (see `memory_need`).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from medseg.blocks.axes import product
from medseg.blocks.pooling import nnunet_strides
from medseg.shapes import Shape, Spacing
from medseg.training.memory_need import Need

MULTIPLE: Final = 8
SMALLEST_AXIS: Final = 32
LARGEST: Final = 256**3
"""Voxels of the patch to begin with."""

WORTHWHILE: Final = {"cuda": 128**3, "cpu": 96**3}
"""Voxels of a patch at most: what nnU-Net's plans for 8 GB and the papers of the networks have on a
GPU, and what takes a few seconds on a CPU."""

SMALLEST_BATCH: Final = 2
LARGEST_PART: Final = 0.05
"""Of the voxels of all training cases that a batch may hold."""


@dataclass(frozen=True)
class Sized:
    """What fits.

    Attributes:
        patch: Voxels along each axis.
        batch: Patches.
        need: Of a step with that patch.
    """

    patch: Shape
    batch: int
    need: Need


def fitting(
    median: Shape,
    spacing_mm: Spacing,
    need: Callable[[Shape], Need],
    *,
    budget: float,
    worthwhile: int,
    batch: int,
) -> Sized:
    """Return the largest patch of which `batch` fit; if even the smallest does not, a batch of 1.

    Args:
        median: Voxels of the median case.
        spacing_mm: Of a voxel.
        need: What a step needs, in bytes, for a patch.
        budget: Bytes that it may need.
        worthwhile: Voxels of a patch at most.
        batch: How many patches there are to be.
    """
    patch = largest(median, spacing_mm)
    patch = _with_voxels(patch, median, spacing_mm, worthwhile)
    found = need(patch)
    while found.of(batch) > budget and max(patch) > SMALLEST_AXIS:
        part = max(0.0, budget - found.weights) / (batch * found.image)
        patch = _with_voxels(patch, median, spacing_mm, math.prod(patch) * part)
        found = need(patch)
    return Sized(patch, batch if found.of(batch) <= budget else 1, found)


def largest_batch(sized: Sized, median: Shape, *, cases: int, budget: float) -> int:
    """Return how many patches fit, at least what is there already."""
    voxels = math.prod(median) * cases
    covering = round(LARGEST_PART * voxels / math.prod(sized.patch))
    return max(sized.batch, min(sized.need.fitting(budget), covering))


def largest(median: Shape, spacing_mm: Spacing) -> Shape:
    """Return the patch to begin with, see step 1."""
    aspect = 1 / np.array(spacing_mm)
    wanted = aspect * (LARGEST / aspect.prod()) ** (1 / 3)
    i, j, k = (min(round(float(n)), m) for n, m in zip(wanted, median, strict=True))
    return padded((i, j, k), spacing_mm)


def padded(patch: Shape, spacing_mm: Spacing) -> Shape:
    """Round each axis up to what the poolings divide."""
    multiples = _multiples(patch, spacing_mm)
    i, j, k = (-(-n // m) * m for n, m in zip(patch, multiples, strict=True))
    return (i, j, k)


def shortened(patch: Shape, axis: int, spacing_mm: Spacing) -> Shape:
    """Shorten an axis to the next length that the poolings divide.

    A long axis is pooled more often than the shorter one that it becomes, so that their multiples
    differ: the length is reduced by the latter's. The poolings of the other axes may change with
    it, and lengthen them; not so far that nothing is gained.
    """
    less = _reduced(patch, axis, _multiples(patch, spacing_mm)[axis])
    less = _reduced(patch, axis, _multiples(less, spacing_mm)[axis])
    divided = padded(less, spacing_mm)
    return divided if math.prod(divided) < math.prod(patch) else less


def _with_voxels(patch: Shape, median: Shape, spacing_mm: Spacing, voxels: float) -> Shape:
    """Shorten the axis that is longest beside the median's until a patch has so few voxels."""
    while math.prod(patch) > voxels and max(patch) > SMALLEST_AXIS:
        beside = [n / m if n > SMALLEST_AXIS else 0 for n, m in zip(patch, median, strict=True)]
        patch = shortened(patch, int(np.argsort(beside)[-1]), spacing_mm)
    return patch


def _reduced(patch: Shape, axis: int, by: int) -> Shape:
    i, j, k = (n - by * (number == axis) for number, n in enumerate(patch))
    return (i, j, k)


def _multiples(patch: Shape, spacing_mm: Spacing) -> Shape:
    return product((1, 1, 1), *nnunet_strides(patch, spacing_mm))
