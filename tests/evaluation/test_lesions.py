"""Every rule of BraTS 2023 by hand."""

import numpy as np
import pytest

from medseg.evaluation import lesions
from medseg.evaluation.lesions import GLIOMA, METASTASIS, Rules
from medseg.evaluation.pair import Pair

ALL = Rules(dilation=3, dropped_mm3=0.0)


def line(*filled, length=30):
    mask = np.zeros((length, 3, 3), dtype=bool)
    mask[list(filled), 1, 1] = True
    return mask


def compare(reference, prediction, rules=ALL, spacing_mm=(1.0, 1.0, 1.0)):
    return lesions.compare(Pair(reference, prediction, spacing_mm), rules)


def test_parts_whose_dilations_touch_are_one_lesion():
    # dilated by 3, voxels at 5 and 12 reach up to 8 and down to 9, which are neighbours
    assert compare(line(5, 12), line()).missed == 1
    assert compare(line(5, 13), line()).missed == 2


def test_the_prediction_s_parts_are_not_merged():
    assert compare(line(), line(5, 7)).false_alarms == 2


def test_a_part_within_the_dilation_matches_and_one_beyond_does_not():
    assert len(compare(line(5), line(8)).matched) == 1
    beyond = compare(line(5), line(9))
    assert (len(beyond.matched), beyond.missed, beyond.false_alarms) == (0, 1, 1)


def test_a_dilation_of_one_reaches_one_voxel():
    near = Rules(dilation=1, dropped_mm3=0.0)
    assert len(compare(line(5), line(6), near).matched) == 1
    assert compare(line(5), line(7), near).missed == 1


def test_a_dilation_reaches_over_edges_and_not_over_corners():
    # three steps over edges lead two voxels along every axis, and not three
    reference, prediction = np.zeros((2, 9, 9, 9), dtype=bool)
    reference[1, 1, 1] = prediction[3, 3, 3] = True
    assert len(compare(reference, prediction).matched) == 1
    assert compare(reference, np.roll(prediction, 1, axis=(0, 1, 2))).missed == 1


def test_whole_parts_are_matched_beyond_the_dilation_too():
    (matched,) = compare(line(5), line(*range(8, 20))).matched
    assert int(matched.prediction.sum()) == 12


def test_all_parts_that_touch_are_matched_together():
    (matched,) = compare(line(5), line(3, 7)).matched
    assert int(matched.prediction.sum()) == 2


def test_one_part_may_match_several_lesions():
    comparison = compare(line(5, 20), line(*range(6, 20)))
    assert len(comparison.matched) == 2
    assert comparison.false_alarms == 0


def test_parts_that_share_a_corner_are_one():
    prediction = np.zeros((9, 9, 9), dtype=bool)
    prediction[1, 1, 1] = prediction[2, 2, 2] = True
    assert compare(np.zeros_like(prediction), prediction).false_alarms == 1


@pytest.mark.parametrize(("spacing_mm", "missed"), [((1.0, 5.0, 5.0), 0), ((1.1, 5.0, 5.0), 1)])
def test_lesions_up_to_fifty_cubic_millimetres_are_not_counted(spacing_mm, missed):
    assert compare(line(5, 6), line(), GLIOMA, spacing_mm).missed == missed


def test_metastases_are_counted_above_two_cubic_millimetres():
    assert compare(line(5, 6), line(), METASTASIS).missed == 0
    assert compare(line(5, 6, 7), line(), METASTASIS).missed == 1


def test_what_matches_a_small_lesion_alone_is_no_false_alarm():
    comparison = compare(line(5), line(6), GLIOMA)
    assert (comparison.matched, comparison.missed, comparison.false_alarms) == ((), 0, 0)


def test_the_smallest_false_alarm_counts():
    assert compare(line(), line(6), GLIOMA).false_alarms == 1


def test_nothing_compared_with_nothing_is_nothing():
    comparison = compare(line(), line())
    assert (comparison.matched, comparison.missed, comparison.false_alarms) == ((), 0, 0)
