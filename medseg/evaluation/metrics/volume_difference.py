"""Difference of the volumes; the image's volume if one mask is empty, NaN if both are.

Without sign, so that too much here and too little there do not cancel in a mean.
"""

from typing import Final

from medseg.evaluation.pair import Pair, Status

UNIT: Final = "ml"
HIGHER_IS_BETTER: Final = False


def compute(pair: Pair) -> float:
    """Subtract the smaller volume from the larger."""
    if pair.status is not Status.BOTH:
        return pair.value_if_empty(worst=pair.image_ml)
    reference, prediction = pair.sizes
    return abs(reference - prediction) * pair.voxel_ml
