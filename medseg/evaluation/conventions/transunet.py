"""The evaluation of TransUNet and its many followers on Synapse and ACDC: in voxels.

Percentile: MedPy's, of all distances there and back, without the spacing: in voxels, not in
millimetres, however thick the slices are.

Empty masks: prediction empty: Dice 0 and HD95 0, so that a missed structure improves the mean
distance. Reference alone empty: Dice 1 and HD95 0.
"""

from dataclasses import replace
from typing import Final

from medseg.evaluation.conventions.medpy import pooled_hd95
from medseg.evaluation.metrics import dice
from medseg.evaluation.pair import Pair, Status

SOURCE: Final = "https://github.com/Beckschen/TransUNet/blob/main/utils.py"


def compute(pair: Pair) -> dict[str, float]:
    """Compute Dice and HD95."""
    if pair.status is not Status.BOTH:
        false_alarm = pair.status is Status.FALSE_ALARM
        return {"dice": float(false_alarm), "hd95_voxels": 0.0}
    in_voxels = replace(pair, spacing_mm=(1.0, 1.0, 1.0))
    return {"dice": dice.compute(pair), "hd95_voxels": pooled_hd95(in_voxels)}
