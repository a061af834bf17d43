import numpy as np
import pytest

from medseg.evaluation.metrics import nsd
from medseg.evaluation.pair import Pair

SPACING_MM = (2.0, 1.0, 5.0)


def line(*filled):
    mask = np.zeros((12, 3, 3), dtype=bool)
    mask[list(filled), 1, 1] = True
    return mask


@pytest.mark.parametrize(("tolerance_mm", "within"), [(1.9, 4), (2.0, 5), (5.9, 5), (6.0, 6)])
def test_voxels_within_the_tolerance_are_counted(tolerance_mm, within):
    reference, prediction = line(0, 2, 5), line(0, 1, 2)
    pair = Pair(reference, prediction, SPACING_MM, tolerance_mm=tolerance_mm)
    # there: 0, 0, 3 steps of 2 mm; back: 0, 1 step, 0
    assert nsd.compute(pair) == pytest.approx(within / 6)


def test_a_voxel_exactly_at_the_tolerance_is_within_in_spite_of_rounding():
    pair = Pair(line(0), line(3), (0.8, 1.0, 1.0), tolerance_mm=2.4)
    assert 3 * 0.8 > 2.4
    assert nsd.compute(pair) == 1.0


def test_two_millimetres_are_tolerated_unless_said_otherwise():
    assert nsd.compute(Pair(line(0), line(2), (1.0, 1.0, 1.0))) == 1.0
    assert nsd.compute(Pair(line(0), line(3), (1.0, 1.0, 1.0))) == 0.0
