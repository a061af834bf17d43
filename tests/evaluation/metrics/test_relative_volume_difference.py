import numpy as np
import pytest

from medseg.evaluation.metrics import relative_volume_difference
from medseg.evaluation.pair import Pair

SPACING_MM = (2.0, 1.0, 5.0)


def line(*filled):
    mask = np.zeros((12, 3, 3), dtype=bool)
    mask[list(filled), 1, 1] = True
    return mask


def test_three_voxels_instead_of_five_are_off_by_forty_percent():
    for masks in ((line(0, 1, 2), line(1, 2, 3, 4, 5)), (line(1, 2, 3, 4, 5), line(0, 1, 2))):
        assert relative_volume_difference.compute(Pair(*masks, SPACING_MM)) == pytest.approx(40)
