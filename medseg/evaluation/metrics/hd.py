"""Hausdorff distance, maximum; the image's diagonal if one mask is empty, NaN if both are."""

from typing import Final

from medseg.evaluation.pair import Pair, Status

UNIT: Final = "mm"
HIGHER_IS_BETTER: Final = False


def compute(pair: Pair) -> float:
    """Measure how far the farthest voxel of either surface is from the other surface."""
    if pair.status is not Status.BOTH:
        return pair.value_if_empty(worst=pair.diagonal_mm)
    return max(float(distances.max()) for distances in pair.distances_mm)
