"""Distance of the centres of mass; the image's diagonal if one mask is empty, NaN if both are."""

from typing import Final

import numpy as np

from medseg.evaluation.pair import Pair, Status

UNIT: Final = "mm"
HIGHER_IS_BETTER: Final = False


def compute(pair: Pair) -> float:
    """Measure how far apart the means of the voxel centres are."""
    if pair.status is not Status.BOTH:
        return pair.value_if_empty(worst=pair.diagonal_mm)
    reference, prediction = (np.argwhere(mask).mean(axis=0) for mask in pair.cropped)
    return float(np.linalg.norm((reference - prediction) * np.array(pair.spacing_mm)))
