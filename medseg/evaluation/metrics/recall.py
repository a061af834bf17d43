"""Recall (sensitivity), 0 to 1; 0 if one mask is empty, NaN if both are."""

from typing import Final

from medseg.evaluation.pair import Pair, Status

UNIT: Final = ""
HIGHER_IS_BETTER: Final = True


def compute(pair: Pair) -> float:
    """Divide the voxels in both masks by those of the reference."""
    if pair.status is not Status.BOTH:
        return pair.value_if_empty(worst=0.0)
    return pair.shared / pair.sizes[0]
