"""Agreement in the number of parts, 0 to 1; 0 if one mask is empty, NaN if both are.

The smaller number of connected components divided by the larger. A ratio has a worst value, which a
difference of numbers lacks: there a prediction in crumbs would be worse than none.
"""

from typing import Final

from medseg.evaluation.pair import Pair, Status

UNIT: Final = ""
HIGHER_IS_BETTER: Final = True


def compute(pair: Pair) -> float:
    """Divide the smaller number of components by the larger."""
    if pair.status is not Status.BOTH:
        return pair.value_if_empty(worst=0.0)
    numbers = pair.components
    return min(numbers) / max(numbers)
