"""Dice coefficient, 0 to 1; 0 if one mask is empty, NaN if both are."""

from typing import Final

import numpy as np

from medseg.evaluation.pair import Pair, Status

UNIT: Final = ""
HIGHER_IS_BETTER: Final = True


def compute(pair: Pair) -> float:
    """Divide twice the voxels in both masks by the sum of the voxels in each."""
    if pair.status is Status.ABSENT:
        return float("nan")
    reference, prediction = pair.cropped
    return 2 * int(np.count_nonzero(reference & prediction)) / sum(pair.sizes)
