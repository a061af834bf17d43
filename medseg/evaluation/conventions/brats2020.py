"""The BraTS challenges up to 2022: a region missed or made up costs the image's diagonal.

Percentile: the challenge does not publish how it is taken; here it is the larger of the two
directed ones, interpolated linearly, between voxel centres.

Empty masks: both: Dice 1 and HD95 0. One: Dice 0 and HD95 373.12866, the diagonal of BraTS' images
of 240x240x155 voxels of 1 mm, whatever the image. Participants know it from the leaderboard, as
reported at https://github.com/jianpengz/DoDNet/issues/7.
"""

from typing import Final

from medseg.evaluation.metrics import dice, hd95
from medseg.evaluation.pair import Pair, Status

SOURCE: Final = "https://www.med.upenn.edu/cbica/brats2020/evaluation.html"

WORST_MM: Final = 373.12866


def compute(pair: Pair) -> dict[str, float]:
    """Compute Dice and HD95."""
    match pair.status:
        case Status.BOTH:
            return {"dice": dice.compute(pair), "hd95_mm": hd95.compute(pair)}
        case Status.ABSENT:
            return {"dice": 1.0, "hd95_mm": 0.0}
        case _:
            return {"dice": 0.0, "hd95_mm": WORST_MM}
