import numpy as np
import pytest

from medseg.evaluation.metrics import masd
from medseg.evaluation.pair import Pair

SPACING_MM = (2.0, 1.0, 5.0)


def line(*filled):
    mask = np.zeros((12, 3, 3), dtype=bool)
    mask[list(filled), 1, 1] = True
    return mask


def test_each_surface_weighs_the_same():
    # there: 0, 0, 0, 0, 12 mm; back: 0, 0, 0, 0
    value = masd.compute(Pair(line(0, 1, 2, 3, 9), line(0, 1, 2, 3), SPACING_MM))
    assert value == pytest.approx((12 / 5 + 0) / 2)
