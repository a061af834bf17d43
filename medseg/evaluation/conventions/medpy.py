"""MedPy's metrics, with the spacing given: both directions in one pool.

Percentile: that of all distances, there and back, interpolated linearly, between voxel centres.
ASSD: the mean over the voxels of both surfaces, as ours (0.4 took the mean of the directed means).

Empty masks, Dice: 1 if both are (0.5.2; NumPy 2.4 makes it divide to NaN instead), 0 if one is.
Distances: MedPy stops with an error if either is, so that whoever calls it must leave the case out:
NaN.
"""

import math
from typing import Final

import numpy as np

from medseg.evaluation.metrics import assd, dice
from medseg.evaluation.pair import Pair, Status

SOURCE: Final = "https://github.com/loli/medpy/blob/0.5.2/medpy/metric/binary.py"


def compute(pair: Pair) -> dict[str, float]:
    """Compute Dice, HD95 and ASSD."""
    surfaces = pair.status is Status.BOTH
    return {
        "dice": 1.0 if pair.status is Status.ABSENT else dice.compute(pair),
        "hd95_mm": pooled_hd95(pair) if surfaces else math.nan,
        "assd_mm": assd.compute(pair) if surfaces else math.nan,
    }


def pooled_hd95(pair: Pair) -> float:
    """Return the 95th percentile of the distances there and back; neither mask may be empty."""
    return float(np.percentile(np.concatenate(pair.distances_mm), 95))
