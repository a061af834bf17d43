"""DeepMind's surface-distance: elements between the voxels, weighted by their area.

Percentile: the larger of the two directed ones; the least distance within which 95 % of a surface's
area lie, without interpolation. Surface elements lie between the voxels, not at their centres.

Empty masks, Dice: NaN if both are, 0 if one is. HD95: infinite if either is. Surface Dice: NaN if
both are, 0 if one is.
"""

import math
from typing import Final

from medseg.evaluation import surfels
from medseg.evaluation.metrics import dice
from medseg.evaluation.pair import Pair, Status

SOURCE: Final = "https://github.com/google-deepmind/surface-distance"


def compute(pair: Pair) -> dict[str, float]:
    """Compute Dice, surface Dice and HD95."""
    if pair.status is not Status.BOTH:
        overlap = pair.value_if_empty(worst=0.0)
        return {"dice": overlap, "nsd": overlap, "hd95_mm": math.inf}
    surfaces = surfels.between(*pair.cropped, pair.spacing_mm)
    within = sum(each.area_within_mm2(pair.tolerance_mm) for each in surfaces)
    return {
        "dice": dice.compute(pair),
        "nsd": within / sum(each.area_within_mm2(math.inf) for each in surfaces),
        "hd95_mm": max(each.percentile_mm(95) for each in surfaces),
    }
