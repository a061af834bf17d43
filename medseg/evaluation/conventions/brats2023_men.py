"""BraTS 2023's lesion-wise scores, by the rules for meningiomas (MEN).

Lesions are dilated by 1 voxel, and those up to 50 mm3 are not counted.

Percentile: surface-distance's, weighted by area, for each lesion.

Empty masks, and the columns with `legacy`: as in `brats2023`.
"""

from typing import Final

from medseg.evaluation import lesions
from medseg.evaluation.conventions import brats2023
from medseg.evaluation.pair import Pair

SOURCE: Final = brats2023.SOURCE


def compute(pair: Pair) -> dict[str, float]:
    """Average Dice and HD95 over the lesions; detection F1; Dice and HD95 of the whole region."""
    return brats2023.compute(pair, lesions.MENINGIOMA)
