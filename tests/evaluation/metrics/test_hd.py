import numpy as np

from medseg.evaluation.metrics import hd
from medseg.evaluation.pair import Pair

SPACING_MM = (2.0, 1.0, 5.0)


def line(*filled):
    mask = np.zeros((12, 3, 3), dtype=bool)
    mask[list(filled), 1, 1] = True
    return mask


def test_one_far_voxel_decides():
    # the reference's voxel 9 is six steps of 2 mm from the prediction's nearest, 3
    assert hd.compute(Pair(line(0, 1, 2, 3, 9), line(0, 1, 2, 3), SPACING_MM)) == 12.0
    assert hd.compute(Pair(line(0, 1, 2, 3), line(0, 1, 2, 3, 9), SPACING_MM)) == 12.0
