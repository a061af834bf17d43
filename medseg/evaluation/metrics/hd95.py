"""Hausdorff distance, 95th percentile; the image's diagonal if one mask is empty, NaN if both are.

The larger of the two directed 95th percentiles, linearly interpolated, of the distances between
the centres of surface voxels.
"""

from typing import Final

import numpy as np

from medseg.evaluation.pair import Pair, Status

UNIT: Final = "mm"
HIGHER_IS_BETTER: Final = False


def compute(pair: Pair) -> float:
    """Measure how far apart the surfaces of the two masks are, outliers aside."""
    if pair.status is not Status.BOTH:
        return pair.value_if_empty(worst=pair.diagonal_mm)
    return max(float(np.percentile(distances, 95)) for distances in pair.distances_mm)
