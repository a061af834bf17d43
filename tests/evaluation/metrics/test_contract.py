"""What every metric promises."""

import itertools
import math

import numpy as np
import pytest

from medseg.evaluation import metrics
from medseg.evaluation.pair import Pair

SPACING_MM = (1.4, 0.7, 10.0)
EMPTY = np.zeros((6, 7, 5), dtype=bool)

each_metric = pytest.mark.parametrize("metric", [metrics.load(name) for name in metrics.names()])


@pytest.fixture
def masks(rng):
    return rng.random((2, 6, 7, 5)) < 0.3


@each_metric
def test_it_has_the_form_of_a_metric(metric):
    assert isinstance(metric, metrics.Metric)


@each_metric
def test_it_gives_its_best_value_to_a_perfect_prediction(metric, masks):
    best = 1.0 if metric.HIGHER_IS_BETTER else 0.0
    assert metric.compute(Pair(masks[0], masks[0], SPACING_MM)) == best


MIRRORED = {"precision": "recall", "recall": "precision"}


@pytest.mark.parametrize("name", metrics.names())
def test_it_is_symmetric_or_the_mirror_image_of_another(name, masks):
    mirrored = metrics.load(MIRRORED.get(name, name))
    one = metrics.load(name).compute(Pair(masks[0], masks[1], SPACING_MM))
    assert mirrored.compute(Pair(masks[1], masks[0], SPACING_MM)) == pytest.approx(one, abs=1e-12)


@each_metric
def test_it_is_nan_if_both_masks_are_empty(metric):
    assert math.isnan(metric.compute(Pair(EMPTY, EMPTY, SPACING_MM)))


@each_metric
def test_it_gives_its_worst_finite_value_if_one_mask_is_empty(metric, masks):
    # by hand: an image with sides of 6 x 1.4, 7 x 0.7 and 5 x 10 mm
    at_worst = {
        "mm": math.sqrt(8.4**2 + 4.9**2 + 50.0**2),
        "ml": 8.4 * 4.9 * 50.0 / 1000,
        "percent": 100.0,
    }
    worst = 0.0 if metric.HIGHER_IS_BETTER else at_worst[metric.UNIT]
    for pair in (Pair(masks[0], EMPTY, SPACING_MM), Pair(EMPTY, masks[0], SPACING_MM)):
        assert metric.compute(pair) == pytest.approx(worst)


@each_metric
def test_no_prediction_is_worse_than_an_empty_one(metric, rng):
    reference = rng.random((6, 7, 5)) < 0.02
    reference[0, 0, 0] = True
    missed = metric.compute(Pair(reference, EMPTY, SPACING_MM))
    corner = EMPTY.copy()
    corner[-1, -1, -1] = True
    for bad in (~EMPTY, corner, ~reference, rng.random((6, 7, 5)) < 0.4):
        value = metric.compute(Pair(reference, bad, SPACING_MM))
        assert value >= missed if metric.HIGHER_IS_BETTER else value <= missed


@each_metric
def test_masks_cut_from_an_image_score_as_the_image_does(metric, masks):
    whole = np.zeros((2, 16, 17, 15), dtype=bool)
    whole[:, 5:11, 5:12, 5:10] = masks
    for empty in (False, True):
        small, large = masks.copy(), whole.copy()
        small[1] &= not empty
        large[1] &= not empty
        cut = Pair(small[0], small[1], SPACING_MM, image_shape=(16, 17, 15))
        value = metric.compute(Pair(large[0], large[1], SPACING_MM))
        assert metric.compute(cut) == pytest.approx(value, abs=1e-12)


@each_metric
def test_it_does_not_depend_on_the_order_and_direction_of_the_axes(metric, masks):
    expected = metric.compute(Pair(masks[0], masks[1], SPACING_MM))
    for order in itertools.permutations(range(3)):
        for flips in itertools.product((1, -1), repeat=3):
            steps = tuple(slice(None, None, flip) for flip in flips)
            turned = [mask.transpose(order)[steps] for mask in masks]
            first, second, third = (SPACING_MM[axis] for axis in order)
            value = metric.compute(Pair(turned[0], turned[1], (first, second, third)))
            assert value == pytest.approx(expected, abs=1e-9)


@each_metric
def test_it_scales_with_the_spacing_as_its_unit_says(metric, masks):
    factor = {"mm": 2.5, "ml": 2.5**3}.get(metric.UNIT, 1.0)
    scaled = tuple(2.5 * step for step in SPACING_MM)
    expected = factor * metric.compute(Pair(masks[0], masks[1], SPACING_MM, tolerance_mm=2.0))
    value = metric.compute(Pair(masks[0], masks[1], scaled, tolerance_mm=5.0))
    assert value == pytest.approx(expected)


@each_metric
def test_it_leaves_the_masks_alone(metric, masks):
    before = masks.copy()
    metric.compute(Pair(masks[0], masks[1], SPACING_MM))
    assert np.array_equal(masks, before)


def test_columns_carry_the_unit():
    assert {"dice", "hd95_mm"} <= set(metrics.columns())


def test_an_unknown_metric_is_refused_with_those_there_are():
    with pytest.raises(ValueError, match=r"no 'dise'; choose from \[.*'dice', .*'hd95'"):
        metrics.load("dise")
