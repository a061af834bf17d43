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


@each_metric
def test_it_is_symmetric(metric, masks):
    one = metric.compute(Pair(masks[0], masks[1], SPACING_MM))
    assert metric.compute(Pair(masks[1], masks[0], SPACING_MM)) == pytest.approx(one, abs=1e-12)


@each_metric
def test_it_is_nan_if_both_masks_are_empty(metric):
    assert math.isnan(metric.compute(Pair(EMPTY, EMPTY, SPACING_MM)))


@each_metric
def test_it_gives_its_worst_finite_value_if_one_mask_is_empty(metric, masks):
    # the diagonal by hand: sides of 6 x 1.4, 7 x 0.7 and 5 x 10 mm
    worst = 0.0 if metric.HIGHER_IS_BETTER else math.sqrt(8.4**2 + 4.9**2 + 50.0**2)
    for pair in (Pair(masks[0], EMPTY, SPACING_MM), Pair(EMPTY, masks[0], SPACING_MM)):
        assert metric.compute(pair) == pytest.approx(worst)


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
def test_it_scales_with_the_spacing_if_it_is_a_length(metric, masks):
    factor = 2.5 if metric.UNIT == "mm" else 1.0
    scaled = tuple(2.5 * step for step in SPACING_MM)
    expected = factor * metric.compute(Pair(masks[0], masks[1], SPACING_MM))
    assert metric.compute(Pair(masks[0], masks[1], scaled)) == pytest.approx(expected)


@each_metric
def test_it_leaves_the_masks_alone(metric, masks):
    before = masks.copy()
    metric.compute(Pair(masks[0], masks[1], SPACING_MM))
    assert np.array_equal(masks, before)


def test_columns_carry_the_unit():
    assert {"dice", "hd95_mm"} <= set(metrics.columns())


def test_an_unknown_metric_is_refused_with_those_there_are():
    with pytest.raises(ValueError, match=r"no 'dise'; choose from \['dice', 'hd95'"):
        metrics.load("dise")
