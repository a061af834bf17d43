"""Mean average surface distance; the image's diagonal if one mask is empty, NaN if both are.

The mean of the two directed averages, each surface weighing the same.
"""

from typing import Final

from medseg.evaluation.pair import Pair, Status

UNIT: Final = "mm"
HIGHER_IS_BETTER: Final = False


def compute(pair: Pair) -> float:
    """Average the distances there and back, then the two averages."""
    if pair.status is not Status.BOTH:
        return pair.value_if_empty(worst=pair.diagonal_mm)
    there, back = pair.distances_mm
    return float(there.mean() + back.mean()) / 2
