"""The rules for meningiomas: near by one voxel, small up to 50 mm3."""

import numpy as np
import pytest

from medseg.evaluation.conventions import brats2023, brats2023_men
from medseg.evaluation.pair import Pair


def cube(start, side=4):
    mask = np.zeros((40, 10, 10), dtype=bool)
    mask[start : start + side, 2 : 2 + side, 2 : 2 + side] = True
    return mask


def pair(reference, prediction):
    return Pair(reference, prediction, (1.0, 1.0, 1.0))


def test_what_lies_two_voxels_beyond_is_a_miss_and_a_false_alarm():
    # cubes of 64 voxels, the second begins two voxels behind the first: a gap of one
    apart = pair(cube(2), cube(7))
    found = brats2023_men.compute(apart)
    assert (found["dice"], found["hd95_mm"], found["detection_f1"]) == (0.0, 374.0, 0.0)
    # by the rules for gliomas it is the same lesion, found in the wrong place: every element
    # of one surface is at most 5 mm from the other
    glioma = brats2023.compute(apart)
    assert (glioma["dice"], glioma["hd95_mm"], glioma["detection_f1"]) == (0.0, 5.0, 1.0)


def test_what_touches_is_the_lesion():
    assert brats2023_men.compute(pair(cube(2), cube(6)))["detection_f1"] == 1.0


def test_parts_three_voxels_apart_are_two_lesions_and_not_one():
    # dilated by 1, the cubes at 2 to 5 and 9 to 12 reach 6 and 8; by 3 they meet
    two = pair(cube(2) | cube(9), cube(2))
    assert brats2023_men.compute(two)["dice"] == 0.5
    assert brats2023.compute(two)["dice"] == pytest.approx(2 * 64 / 192)


def test_up_to_fifty_cubic_millimetres_count_for_nothing():
    assert brats2023_men.compute(pair(cube(2, side=3), cube(2, side=0)))["dice"] == 1.0  # 27 mm3
    assert brats2023_men.compute(pair(cube(2), cube(2, side=0)))["dice"] == 0.0  # 64 mm3
