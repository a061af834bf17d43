"""nnU-Net's evaluation: overlaps alone; it measures no distance.

Percentile: none.

Empty masks: both: NaN, left out of the mean. One: 0.
"""

from typing import Final

from medseg.evaluation.metrics import dice, iou
from medseg.evaluation.pair import Pair

SOURCE: Final = (
    "https://github.com/MIC-DKFZ/nnUNet/blob/v2.8.1/nnunetv2/evaluation/evaluate_predictions.py"
)


def compute(pair: Pair) -> dict[str, float]:
    """Compute Dice and IoU."""
    return {"dice": dice.compute(pair), "iou": iou.compute(pair)}
