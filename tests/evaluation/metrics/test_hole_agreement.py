import numpy as np

from medseg.evaluation.metrics import hole_agreement
from medseg.evaluation.pair import Pair

SPACING_MM = (2.0, 1.0, 5.0)


def test_one_hole_where_there_is_none_agrees_by_half():
    solid = np.ones((5, 5, 5), dtype=bool)
    hollow = solid.copy()
    hollow[2, 2, 2] = False
    assert hole_agreement.compute(Pair(solid, hollow, SPACING_MM)) == 1 / 2
