"""Difference of the volumes, 0 to 100 %; 100 if one mask is empty, NaN if both are.

Relative to the larger of the two volumes: relative to the reference's, a prediction of three times
the volume would be worse than none at all.
"""

from typing import Final

from medseg.evaluation.pair import Pair, Status

UNIT: Final = "percent"
HIGHER_IS_BETTER: Final = False


def compute(pair: Pair) -> float:
    """Divide the difference of the volumes by the larger."""
    if pair.status is not Status.BOTH:
        return pair.value_if_empty(worst=100.0)
    return 100.0 * (1 - min(pair.sizes) / max(pair.sizes))
