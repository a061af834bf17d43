"""The rules for metastases: near by one voxel, small up to 2 mm3."""

import numpy as np
import pytest

from medseg.evaluation.conventions import brats2023, brats2023_men, brats2023_met
from medseg.evaluation.pair import Pair


def line(*filled):
    mask = np.zeros((30, 3, 3), dtype=bool)
    mask[list(filled), 1, 1] = True
    return mask


def scores(convention, reference, prediction):
    return convention.compute(Pair(reference, prediction, (1.0, 1.0, 1.0)))


@pytest.mark.parametrize(("voxels", "dice"), [(2, 1.0), (3, 0.0)])
def test_from_three_voxels_on_a_missed_metastasis_counts(voxels, dice):
    missed = line(*range(5, 5 + voxels))
    assert scores(brats2023_met, missed, line())["dice"] == dice
    assert scores(brats2023_men, missed, line())["dice"] == 1.0
    assert scores(brats2023, missed, line())["dice"] == 1.0


def test_small_ones_are_dropped_and_larger_ones_share_the_score():
    # 5 to 8 is found but for one voxel (Dice 6 / 7), 15 to 17 missed, 25 dropped. Elements lie on
    # corners: the lesion's at 5 to 9. The four at 9, 1 mm beyond, cut a corner of sqrt(3) / 8 mm2
    # each, 0.87 of 10.22 mm2 with the four at 5 and twelve of 1 / sqrt(2) between: more than 5 %
    values = scores(brats2023_met, line(5, 6, 7, 8, 15, 16, 17, 25), line(5, 6, 7))
    assert values["dice"] == pytest.approx(6 / 7 / 2)
    assert values["hd95_mm"] == (1 + 374) / 2
    assert values["detection_f1"] == pytest.approx(2 / 3)


def test_what_lies_two_voxels_beyond_is_another():
    assert scores(brats2023_met, line(5, 6, 7), line(9, 10, 11))["detection_f1"] == 0.0
    assert scores(brats2023_met, line(5, 6, 7), line(8, 9, 10))["detection_f1"] == 1.0
    assert scores(brats2023, line(5, 6, 7), line(9, 10, 11))["detection_f1"] == 1.0
