"""BraTS 2023's lesion-wise scores, by the rules for gliomas (GLI), Africa (SSA), children (PED).

Lesions are dilated by 3 voxels, and those up to 50 mm3 are not counted; see
`medseg.evaluation.lesions`. Meningiomas and metastases have rules of their own: `brats2023_men`,
`brats2023_met`.

Percentile: surface-distance's, weighted by area, for each lesion.

Empty masks: both: Dice 1 and HD95 0. A lesion missed or made up counts as Dice 0 and HD95 374 mm;
both empty of all but small lesions is as both empty.

The columns with `legacy` compare the whole region at once, as the same script reports them beside:
both empty: Dice 1 and HD95 0; one: Dice 0 and HD95 374 mm.
"""

import math
from typing import Final

from medseg.evaluation import lesions
from medseg.evaluation.conventions import deepmind
from medseg.evaluation.pair import Pair, Status

SOURCE: Final = "https://github.com/rachitsaluja/BraTS-2023-Metrics"

WORST_MM: Final = 374.0


def compute(pair: Pair, rules: lesions.Rules = lesions.GLIOMA) -> dict[str, float]:
    """Average Dice and HD95 over the lesions; detection F1; Dice and HD95 of the whole region."""
    return {**_by_lesion(pair, rules), **_legacy(pair)}


def _by_lesion(pair: Pair, rules: lesions.Rules) -> dict[str, float]:
    found = lesions.compare(pair, rules)
    number = len(found.matched) + found.missed + found.false_alarms
    if number == 0:
        return {"dice": 1.0, "hd95_mm": 0.0, "detection_f1": 1.0}
    scores = [deepmind.compute(lesion) for lesion in found.matched]
    wrong = found.missed + found.false_alarms
    return {
        "dice": sum(score["dice"] for score in scores) / number,
        "hd95_mm": (sum(score["hd95_mm"] for score in scores) + WORST_MM * wrong) / number,
        "detection_f1": 2 * len(scores) / (2 * len(scores) + wrong),
    }


def _legacy(pair: Pair) -> dict[str, float]:
    if pair.status is Status.ABSENT:
        return {"dice_legacy": 1.0, "hd95_legacy_mm": 0.0}
    whole = deepmind.compute(pair)
    hd95_mm = whole["hd95_mm"]
    return {
        "dice_legacy": whole["dice"],
        "hd95_legacy_mm": hd95_mm if math.isfinite(hd95_mm) else WORST_MM,
    }
