"""The bootstrap over cases."""

import math
import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import stats

from medseg.evaluation import bootstrap


def test_two_cases_are_drawn_as_by_hand():
    # of 0 and 1 two are drawn: the mean is 0 in 1/4, 0.5 in 1/2, 1 in 1/4 of the draws
    drawn = bootstrap.drawn_means(np.array([[0.0], [1.0]]), draws=40_000)[:, 0]
    shares = [np.mean(drawn == mean) for mean in (0.0, 0.5, 1.0)]
    assert sum(shares) == 1
    assert shares == pytest.approx([0.25, 0.5, 0.25], abs=0.01)


def test_the_interval_is_that_of_the_standard_library(rng):
    values = rng.normal(3, 2, size=60)
    drawn = [statistics.fmean(rng.choice(values, 60)) for _ in range(10_000)]
    cuts = statistics.quantiles(drawn, n=40)  # in steps of 2.5 %
    width = cuts[-1] - cuts[0]
    assert bootstrap.interval(values) == pytest.approx((cuts[0], cuts[-1]), abs=0.03 * width)


def test_the_interval_is_that_of_scipy(rng):
    from scipy import stats

    values = rng.exponential(size=40)
    expected = stats.bootstrap(
        (values,), np.mean, n_resamples=10_000, method="percentile", rng=rng
    ).confidence_interval
    width = expected.high - expected.low
    assert bootstrap.interval(values) == pytest.approx(tuple(expected), abs=0.03 * width)


@pytest.mark.parametrize(("cases", "expected"), [(10, 0.904), (100, 0.946)])
def test_it_covers_the_mean_of_normal_cases_as_often_as_theory_says(rng, cases, expected):
    # the half-width tends to 1.96 s sqrt((n - 1) / n) / sqrt(n) for the sample's s, so that the
    # coverage is that of Student's t with n - 1 degrees of freedom at 1.96 sqrt((n - 1) / n)
    from scipy import stats

    theory = 1 - 2 * stats.t.sf(1.959964 * math.sqrt((cases - 1) / cases), cases - 1)
    assert theory == pytest.approx(expected, abs=0.001)
    held = 0
    for seed in range(600):
        low, high = bootstrap.interval(rng.normal(0.8, 0.1, size=cases), draws=800, seed=seed)
        held += low <= 0.8 <= high
    assert held / 600 == pytest.approx(theory, abs=0.03)  # 2.5 standard errors


def test_a_seed_gives_the_same_draws_and_another_others(rng):
    values = rng.random(20)
    assert bootstrap.interval(values, seed=1) == bootstrap.interval(values, seed=1)
    assert bootstrap.interval(values, seed=1) != bootstrap.interval(values, seed=2)


def test_models_are_averaged_over_the_same_cases(rng):
    values = rng.random(30)
    drawn = bootstrap.drawn_means(np.stack([values, values + 0.25], axis=1), draws=500)
    np.testing.assert_allclose(drawn[:, 1] - drawn[:, 0], 0.25)


def test_many_cases_are_drawn_in_parts_of_the_same_stream(rng, monkeypatch):
    values = rng.random((7, 2))
    whole = bootstrap.drawn_means(values, draws=100)
    bootstrap._counts.cache_clear()
    monkeypatch.setattr(bootstrap, "_NUMBERS_AT_ONCE", 50)  # seven draws at once
    np.testing.assert_allclose(bootstrap.drawn_means(values, draws=100), whole)


def test_as_many_cases_are_drawn_as_there_are():
    assert (bootstrap._counts(9, 50, 0).sum(axis=1) == 9).all()


@given(arrays.arrays(np.float64, st.integers(2, 12), elements=st.floats(-1e3, 1e3)))
def test_the_interval_lies_between_the_least_and_the_greatest_case(values):
    low, high = bootstrap.interval(values, draws=200)
    slack = 1e-9 * max(1.0, np.abs(values).max())
    assert values.min() - slack <= low <= high <= values.max() + slack


@pytest.mark.parametrize("values", [[], [0.5]])
def test_less_than_two_cases_have_no_interval(values):
    assert all(map(math.isnan, bootstrap.interval(np.array(values, dtype=np.float64))))


def test_what_makes_no_sense_is_refused():
    with pytest.raises(ValueError, match="between 0 and 1"):
        bootstrap.interval(np.zeros(3), confidence=95)
    with pytest.raises(ValueError, match="NaN or infinite"):
        bootstrap.interval(np.array([0.0, math.nan]))
    with pytest.raises(ValueError, match="no cases"):
        bootstrap.drawn_means(np.zeros((0, 2)))


def test_the_first_rank_is_counted_and_ties_are_divided():
    drawn = np.array([[3.0, 1.0, 3.0], [2.0, 1.0, 0.0], [0.0, 1.0, 0.0], [4.0, 4.0, 4.0]])
    # higher is better: first and third share, first, second, all share
    expected = [(0.5 + 1 + 1 / 3) / 4, (1 + 1 / 3) / 4, (0.5 + 1 / 3) / 4]
    assert bootstrap.share_first(drawn, higher_is_better=True) == pytest.approx(expected)
    # lower is better: second, third, first and third share, all share
    expected = [(0.5 + 1 / 3) / 4, (1 + 1 / 3) / 4, (1 + 0.5 + 1 / 3) / 4]
    assert bootstrap.share_first(drawn, higher_is_better=False) == pytest.approx(expected)


def test_the_interval_of_a_region_is_scipys(rng):
    values = rng.normal(0.8, 0.1, size=(60, 2))
    theirs = stats.bootstrap(
        (values[:, 1],), np.mean, method="percentile", n_resamples=10_000, rng=rng
    ).confidence_interval
    found, _ = bootstrap.region_intervals(values)
    assert found[1] == pytest.approx([theirs.low, theirs.high], abs=2e-3)
    assert tuple(found[0]) == pytest.approx(bootstrap.interval(values[:, 0]), rel=1e-12)


def test_regions_of_few_cases_and_infinite_ones_have_no_interval():
    nan, inf = np.nan, np.inf
    values = np.array([[0.25, 0.5, nan, inf], [0.25, nan, nan, 1.0], [0.25, nan, nan, 2.0]])
    found, over_all = bootstrap.region_intervals(values)
    assert found[0].tolist() == [0.25, 0.25]
    assert np.isnan(found[1:]).all()
    assert np.isnan(over_all).all()
    assert bootstrap.region_intervals(values[:, :3])[1] == (0.25, 0.375)  # with the first or not
    assert np.isnan(bootstrap.region_intervals(values[:1, :1])[0]).all()


def test_a_region_that_few_cases_hold_is_averaged_over_these():
    values = np.full((40, 1), np.nan)
    values[:2, 0] = 0.0, 1.0  # a draw that holds one of them alone has a mean of 0 or 1
    found, _ = bootstrap.region_intervals(values)
    assert found.tolist() == [[0.0, 1.0]]
