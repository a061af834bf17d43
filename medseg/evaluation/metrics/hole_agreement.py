"""Agreement in the number of holes, 0 to 1; 0 if one mask is empty, NaN if both are.

The smaller number of enclosed cavities, plus one, divided by the larger, plus one.
"""

from typing import Final

from medseg.evaluation.pair import Pair, Status

UNIT: Final = ""
HIGHER_IS_BETTER: Final = True


def compute(pair: Pair) -> float:
    """Divide the smaller number of holes by the larger, both plus one."""
    if pair.status is not Status.BOTH:
        return pair.value_if_empty(worst=0.0)
    numbers = pair.holes
    return (1 + min(numbers)) / (1 + max(numbers))
