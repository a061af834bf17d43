"""Average symmetric surface distance; the image's diagonal if one mask is empty, NaN if both are.

The mean over the voxels of both surfaces; the larger surface weighs more than in `masd`.
"""

from typing import Final

import numpy as np

from medseg.evaluation.pair import Pair, Status

UNIT: Final = "mm"
HIGHER_IS_BETTER: Final = False


def compute(pair: Pair) -> float:
    """Average the distances of all voxels of both surfaces."""
    if pair.status is not Status.BOTH:
        return pair.value_if_empty(worst=pair.diagonal_mm)
    return float(np.concatenate(pair.distances_mm).mean())
