"""Median, standard deviation and interval of scores."""

import math

import numpy as np
import pytest

from medseg.evaluation.spread import spread

UNKNOWN = np.full(2, math.nan)


def test_a_small_example_by_hand():
    found = spread(np.array([0.5, 0.7, math.nan, 0.9]), np.array([0.6, 0.8]))
    # deviations -0.2, 0, 0.2: sqrt(0.08 / 2)
    assert found == {
        "median": 0.7,
        "standard_deviation": pytest.approx(0.2),
        "interval_95": [0.6, 0.8],
    }


def test_one_case_has_a_median_and_no_spread():
    assert spread(np.array([0.5]), UNKNOWN) == {
        "median": 0.5,
        "standard_deviation": None,
        "interval_95": None,
    }


def test_no_case_has_nothing():
    assert set(spread(np.array([math.nan]), UNKNOWN).values()) == {None}


def test_infinite_scores_leave_the_median_if_they_can():
    found = spread(np.array([1.0, 2.0, math.inf]), UNKNOWN)
    assert found == {"median": 2.0, "standard_deviation": None, "interval_95": None}
    assert spread(np.array([math.inf, math.inf]), UNKNOWN)["median"] is None
