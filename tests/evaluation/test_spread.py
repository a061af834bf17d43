"""Median, standard deviation and interval of scores."""

import math

import numpy as np
import pytest
from scipy import stats

from medseg.evaluation.spread import spread


def test_a_small_example_by_hand():
    found = spread([0.5, 0.7, math.nan, 0.9])
    assert found["median"] == 0.7
    # deviations -0.2, 0, 0.2: sqrt(0.08 / 2)
    assert found["standard_deviation"] == pytest.approx(0.2)


def test_the_interval_is_scipys_bootstrap_interval():
    values = np.random.default_rng(1).normal(0.8, 0.1, size=60)
    theirs = stats.bootstrap(
        (values,), np.mean, method="percentile", n_resamples=10_000, rng=np.random.default_rng(2)
    ).confidence_interval
    low, high = spread(values.tolist())["interval_95"]
    assert low == pytest.approx(theirs.low, abs=2e-3)
    assert high == pytest.approx(theirs.high, abs=2e-3)


def test_one_case_has_a_median_and_no_spread():
    assert spread([0.5]) == {"median": 0.5, "standard_deviation": None, "interval_95": None}


def test_no_case_has_nothing():
    assert set(spread([math.nan]).values()) == {None}


def test_infinite_scores_leave_the_median_if_they_can():
    found = spread([1.0, 2.0, math.inf])
    assert found == {"median": 2.0, "standard_deviation": None, "interval_95": None}
    assert spread([math.inf, math.inf])["median"] is None
