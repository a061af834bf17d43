"""BraTS 2023's lesion-wise scores, by the rules for gliomas (GLI).

Percentile: surface-distance's, weighted by area, for each lesion. Lesions: see
`medseg.evaluation.lesions`.

Empty masks: both: Dice 1 and HD95 0. A lesion missed or made up counts as Dice 0 and HD95 374 mm;
both empty of all but small lesions is as both empty.
"""

from typing import Final

from medseg.evaluation import lesions
from medseg.evaluation.conventions import deepmind
from medseg.evaluation.pair import Pair

SOURCE: Final = "https://github.com/rachitsaluja/BraTS-2023-Metrics/blob/main/metrics.py"

WORST_MM: Final = 374.0


def compute(pair: Pair, rules: lesions.Rules = lesions.GLIOMA) -> dict[str, float]:
    """Average Dice and HD95 over the lesions; also Dice of detecting them (F1)."""
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
