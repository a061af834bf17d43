import numpy as np

from medseg.evaluation.metrics import iou
from medseg.evaluation.pair import Pair

SPACING_MM = (2.0, 1.0, 5.0)


def line(*filled):
    mask = np.zeros((12, 3, 3), dtype=bool)
    mask[list(filled), 1, 1] = True
    return mask


def test_two_of_six_voxels_are_shared():
    assert iou.compute(Pair(line(0, 1, 2), line(1, 2, 3, 4, 5), SPACING_MM)) == 2 / 6
