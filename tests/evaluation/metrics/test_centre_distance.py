import numpy as np
import pytest

from medseg.evaluation.metrics import centre_distance
from medseg.evaluation.pair import Pair

SPACING_MM = (2.0, 1.0, 5.0)


def line(*filled):
    mask = np.zeros((12, 3, 3), dtype=bool)
    mask[list(filled), 1, 1] = True
    return mask


def test_centres_two_and_a_half_steps_apart_are_five_mm_apart():
    assert centre_distance.compute(Pair(line(0, 1), line(2, 4), SPACING_MM)) == pytest.approx(5.0)
