"""Tests, their correction, their effect size."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medseg.evaluation import significance

p_lists = st.lists(st.floats(0, 1), min_size=1, max_size=7)


def _exact(differences):
    """The two-sided p-value by counting all ways to put signs to the ranks."""
    ranks = np.argsort(np.argsort(np.abs(differences))) + 1
    middle = ranks.sum() / 2
    observed = abs(ranks[np.array(differences) > 0].sum() - middle)
    ways = list(itertools.product((0, 1), repeat=len(ranks)))
    return sum(abs(np.dot(way, ranks) - middle) >= observed for way in ways) / len(ways)


def _by_closure(p_values):
    """Holm's p-values from the closed test: Bonferroni for every set that holds a hypothesis."""
    places = range(len(p_values))
    sets = [s for n in places for s in itertools.combinations(places, n + 1)]
    bonferroni = {s: min(1.0, len(s) * min(p_values[place] for place in s)) for s in sets}
    return [max(p for s, p in bonferroni.items() if place in s) for place in places]


@pytest.mark.parametrize(
    ("differences", "expected"),
    [
        ([1.0, 2.0, 3.0, 4.0, 5.0], 2 / 32),  # all signs alike: 2 of the 2^5 ways
        ([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 2 / 64),
        ([-1.0, 2.0, 3.0, 4.0, 5.0], 4 / 32),  # rank sum of 1 or less: nothing, or the first
    ],
)
def test_the_signed_rank_test_is_that_by_hand(differences, expected):
    assert significance.wilcoxon(np.array(differences)) == pytest.approx(expected)


def test_the_signed_rank_test_counts_all_ways_to_put_signs(rng):
    for _ in range(20):
        differences = rng.normal(0.3, 1, size=9)
        assert significance.wilcoxon(differences) == pytest.approx(_exact(differences))


def test_zeros_are_left_out_and_rounding_makes_none():
    differences = np.array([1.0, 2.0, 3.0, 4.0, 5.0])
    expected = significance.wilcoxon(differences)
    noisy = np.append(differences, [0.0, 0.3 - 0.1 - 0.2])
    assert noisy[-1] != 0
    assert significance.wilcoxon(noisy) == expected


@pytest.mark.parametrize("differences", [[0.0, 0.0, 0.0], [0.5], [1.0, -1.0]])
def test_nothing_or_one_case_or_as_much_up_as_down_proves_nothing(differences):
    assert significance.wilcoxon(np.array(differences)) == 1.0


def test_many_cases_with_ties_are_tested_without_a_warning(rng):
    differences = rng.integers(-2, 5, size=80) / 2
    assert significance.wilcoxon(differences) < 0.001


def test_holm_is_that_by_hand():
    # sorted 0.01, 0.02, 0.03, 0.2 times 4, 3, 2, 1; none below the one before
    p_values = np.array([0.03, 0.01, 0.2, 0.02])
    assert significance.holm(p_values) == pytest.approx([0.06, 0.04, 0.2, 0.06])


def test_no_test_needs_no_correction():
    assert significance.holm(np.array([])).size == 0


@given(p_lists)
def test_holm_is_the_closed_bonferroni_test(p_values):
    assert significance.holm(np.array(p_values)) == pytest.approx(_by_closure(p_values))


def test_superiority_counts_ties_half():
    differences = np.array([0.1, 0.2, 0.0, -0.3])
    assert significance.superiority(differences, higher_is_better=True) == 2.5 / 4
    assert significance.superiority(differences, higher_is_better=False) == 1.5 / 4


@given(st.lists(st.floats(-9, 9), min_size=1, max_size=9))
def test_what_one_wins_the_other_loses(differences):
    there = significance.superiority(np.array(differences), higher_is_better=True)
    back = significance.superiority(-np.array(differences), higher_is_better=True)
    assert there + back == pytest.approx(1)
