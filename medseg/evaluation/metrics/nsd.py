"""Normalised surface Dice, 0 to 1; 0 if one mask is empty, NaN if both are.

The share of the voxels of both surfaces that lie within the tolerance of the other surface; a voxel
exactly as far away as the tolerance counts as within.
"""

from typing import Final

import numpy as np

from medseg.evaluation.pair import Pair, Status

UNIT: Final = ""
HIGHER_IS_BETTER: Final = True

_ROUNDING_MM: Final = 1e-9
"""Three steps of 0.8 mm are a little more than 2.4 mm in floating point."""


def compute(pair: Pair) -> float:
    """Count the voxels of both surfaces that lie within the tolerance."""
    if pair.status is not Status.BOTH:
        return pair.value_if_empty(worst=0.0)
    distances = np.concatenate(pair.distances_mm)
    return float((distances <= pair.tolerance_mm + _ROUNDING_MM).mean())
