import numpy as np
import pytest

from medseg.evaluation.metrics import volume_difference
from medseg.evaluation.pair import Pair

SPACING_MM = (2.0, 1.0, 5.0)


def line(*filled):
    mask = np.zeros((12, 3, 3), dtype=bool)
    mask[list(filled), 1, 1] = True
    return mask


def test_two_voxels_of_ten_cubic_millimetres_are_two_hundredths_of_a_millilitre():
    for masks in ((line(0, 1, 2), line(1, 2, 3, 4, 5)), (line(1, 2, 3, 4, 5), line(0, 1, 2))):
        assert volume_difference.compute(Pair(*masks, SPACING_MM)) == pytest.approx(0.02)
