import numpy as np

from medseg.evaluation.metrics import component_agreement
from medseg.evaluation.pair import Pair

SPACING_MM = (2.0, 1.0, 5.0)


def line(*filled):
    mask = np.zeros((12, 3, 3), dtype=bool)
    mask[list(filled), 1, 1] = True
    return mask


def test_three_parts_instead_of_two_agree_by_two_thirds():
    pair = Pair(line(0, 1, 5), line(0, 2, 4, 5), SPACING_MM)
    assert component_agreement.compute(pair) == 2 / 3
