"""MONAI's metrics with their defaults, in millimetres: what cannot be measured is left out.

Percentile: the larger of the two directed ones, interpolated linearly, between voxel centres.

Empty masks, HD95: NaN if either is, so that a missed structure drops out of the mean. Dice: NaN if
the reference is, hence false alarms drop out; 0 if the prediction alone is. Surface Dice: NaN if
both are, 0 if one is. ASSD: NaN if both are, infinite if one is.
"""

import math
from typing import Final

from medseg.evaluation.metrics import assd, dice, hd95, nsd
from medseg.evaluation.pair import Pair, Status

SOURCE: Final = "https://github.com/Project-MONAI/MONAI/tree/1.6.1/monai/metrics"


def compute(pair: Pair) -> dict[str, float]:
    """Compute Dice, surface Dice, HD95 and ASSD."""
    found, surfaces = pair.sizes[0] > 0, pair.status is Status.BOTH
    one_empty = pair.status in (Status.MISSED, Status.FALSE_ALARM)
    return {
        "dice": dice.compute(pair) if found else math.nan,
        "nsd": nsd.compute(pair),
        "hd95_mm": hd95.compute(pair) if surfaces else math.nan,
        "assd_mm": math.inf if one_empty else assd.compute(pair),
    }
