import numpy as np
from hypothesis import given
from hypothesis.extra import numpy as hnp
from surface_distance import metrics as surface_distance

from medseg.evaluation.metrics import dice
from medseg.evaluation.pair import Pair

UNIT_MM = (1.0, 1.0, 1.0)
both_masks = hnp.arrays(np.bool_, (2, 4, 5, 3))


def test_four_voxels_and_six_with_three_shared_have_six_tenths():
    reference, prediction = np.zeros((2, 10, 1, 1), dtype=bool)
    reference[0:4] = True
    prediction[1:7] = True
    assert dice.compute(Pair(reference, prediction, UNIT_MM)) == 2 * 3 / (4 + 6)


def test_masks_that_do_not_touch_have_zero():
    reference, prediction = np.zeros((2, 4, 4, 4), dtype=bool)
    reference[0], prediction[3] = True, True
    assert dice.compute(Pair(reference, prediction, UNIT_MM)) == 0.0


@given(both_masks)
def test_it_agrees_with_surface_distance(masks):
    if masks.any():
        value = dice.compute(Pair(masks[0], masks[1], UNIT_MM))
        assert value == surface_distance.compute_dice_coefficient(masks[0], masks[1])
