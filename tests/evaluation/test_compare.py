"""Comparison of models."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medseg.errors import UsageError
from medseg.evaluation.compare import compare, read, values_of
from medseg.evaluation.score_table import Paired

NAN = math.nan


def pair(*models, regions=("left",), metric="dice", higher_is_better=True):
    """Pair models a, b, ... whose values are given by case, or by case and region."""
    values = np.stack([np.array(model, dtype=np.float64) for model in models], axis=-1)
    values = values.reshape(len(values), len(regions), len(models))
    return Paired(
        models=tuple("abcdef"[: len(models)]),
        cases=tuple(f"case {number}" for number in range(len(values))),
        regions=regions,
        higher_is_better={metric: higher_is_better},
        values={metric: values},
        filled=0,
        not_compared=(),
    )


def test_two_models_are_compared_as_by_hand():
    # differences 0.1, 0.2, 0.3, 0.4, 0.5: two of 32 ways to put signs are as extreme
    first = [0.6, 0.7, 0.8, 0.9, 1.0]
    comparison = compare(pair(first, [0.5] * 5))
    (finding,) = comparison.findings
    assert finding.means == pytest.approx({"a": 0.8, "b": 0.5})
    assert finding.first == {"a": 1.0, "b": 0.0}
    assert (finding.region, finding.cases) == ("left", 5)
    (difference,) = finding.differences
    assert (difference.first, difference.second) == ("a", "b")
    assert difference.mean == pytest.approx(0.3)
    assert difference.p_value == pytest.approx(2 / 32)
    assert difference.p_corrected == difference.p_value  # one test needs no correction
    assert difference.superiority == 1.0
    assert difference.better is None  # five cases cannot prove it
    assert 0.1 < difference.interval[0] < 0.3 < difference.interval[1] < 0.5


def test_the_exact_interval_of_three_cases_is_found():
    # the mean of 0, 0, 0.3 is 0 in 8 of 27 draws and 0.3 in 1 of 27, more than 2.5 % each
    (finding,) = compare(pair([0.5, 0.5, 0.8], [0.5, 0.5, 0.5])).findings
    assert finding.differences[0].interval == pytest.approx((0.0, 0.3))
    assert finding.first["b"] == pytest.approx(8 / 27 / 2, abs=0.01)  # ties are divided
    assert finding.differences[0].superiority == pytest.approx((1 + 0.5 + 0.5) / 3)


def test_identical_models_do_not_differ(rng):
    values = rng.random((20, 2))
    comparison = compare(pair(values, values, values, regions=("left", "right")))
    for finding in comparison.findings:
        assert finding.first == pytest.approx(dict.fromkeys("abc", 1 / 3))
        for difference in finding.differences:
            assert difference.mean == 0
            assert difference.interval == (0, 0)
            assert (difference.p_value, difference.p_corrected) == (1, 1)
            assert (difference.superiority, difference.better) == (0.5, None)
    assert comparison.extremes == ()


@pytest.mark.parametrize(("higher_is_better", "better"), [(True, "a"), (False, "b")])
def test_a_clearly_better_model_is_found(rng, higher_is_better, better):
    hard = rng.uniform(0.3, 0.9, size=40)  # cases differ much more than models do
    higher, lower = hard + 0.03 + rng.normal(0, 0.02, 40), hard + rng.normal(0, 0.02, 40)
    comparison = compare(pair(higher, lower, higher_is_better=higher_is_better))
    (finding,) = comparison.findings
    assert finding.differences[0].better == better
    assert finding.first[better] > 0.99
    assert finding.differences[0].mean > 0
    assert (finding.differences[0].superiority > 0.5) == higher_is_better


def test_equally_good_models_are_told_apart_as_rarely_as_promised(rng):
    found = 0
    for _ in range(100):
        comparison = compare(pair(*rng.normal(size=(3, 25))), draws=200)
        found += any(d.better for finding in comparison.findings for d in finding.differences)
    assert found <= 10  # 5 expected at most; more than 10 in 1 of 100 runs


def test_p_values_are_corrected_over_all_metrics_regions_and_pairs(rng):
    regions = ("left", "right")
    comparison = compare(pair(*rng.random((3, 12, 2)), regions=regions))
    raw = [d.p_value for finding in comparison.findings for d in finding.differences]
    corrected = [d.p_corrected for finding in comparison.findings for d in finding.differences]
    assert comparison.tests == len(raw) == 3 * 3  # two regions and both; three pairs
    order = sorted(range(9), key=raw.__getitem__)
    running = itertools.accumulate((min(1, (9 - n) * raw[i]) for n, i in enumerate(order)), max)
    assert [corrected[i] for i in order] == pytest.approx(list(running))


def test_over_all_regions_a_case_counts_with_those_it_holds():
    first = [[0.8, 0.6], [0.9, NAN], [NAN, NAN]]
    second = [[0.6, 0.6], [0.8, NAN], [NAN, NAN]]
    left, right, both = compare(pair(first, second, regions=("left", "right"))).findings
    assert (left.cases, right.cases, both.cases) == (2, 1, 2)
    assert both.region is None
    assert left.means == pytest.approx({"a": 0.85, "b": 0.7})
    assert both.means == pytest.approx({"a": (0.7 + 0.9) / 2, "b": (0.6 + 0.8) / 2})
    assert both.differences[0].mean == pytest.approx(0.1)
    assert right.differences[0].p_value == 1
    assert all(map(math.isnan, right.differences[0].interval))  # one case has no spread


def test_a_region_that_no_case_holds_is_not_tested():
    values = [[0.8, NAN], [0.9, NAN]]
    comparison = compare(pair(values, values, regions=("left", "right")))
    absent = comparison.findings[1]
    assert (absent.cases, absent.differences) == (0, ())
    assert all(map(math.isnan, [*absent.means.values(), *absent.first.values()]))
    assert comparison.tests == 2


def test_one_region_is_not_repeated_as_all_regions():
    assert len(compare(pair([0.5, 0.6], [0.5, 0.7])).findings) == 1


def test_the_five_cases_that_differ_most_are_named_with_their_worst_region():
    zeros = np.zeros((7, 2))
    values = np.array(
        [[0.1, 0.0], [0.0, 0.6], [0.3, NAN], [-0.4, 0.4], [0.0, 0.0], [0.2, -0.5], [0.7, 0.6]]
    )
    zeros[np.isnan(values)] = NAN
    extremes = compare(pair(values, zeros, regions=("left", "right"))).extremes
    assert [(extreme.case, extreme.region, extreme.values[0]) for extreme in extremes] == [
        ("case 6", "left", 0.7),
        ("case 1", "right", 0.6),
        ("case 5", "right", -0.5),
        ("case 3", "left", -0.4),
        ("case 2", "left", 0.3),
    ]


def test_the_same_seed_gives_the_same_numbers_and_it_is_told(rng):
    models = pair(*rng.random((2, 15)))
    one, same, other = (compare(models, draws=300, seed=seed) for seed in (3, 3, 4))
    assert one.findings == same.findings
    assert one.findings != other.findings
    assert (one.draws, one.seed) == (300, 3)


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=2, max_size=8))
def test_the_other_order_turns_the_signs_and_nothing_else(values):
    first, second = zip(*values, strict=True)
    (there,) = compare(pair(first, second), draws=100).findings
    (back,) = compare(pair(second, first), draws=100).findings
    one, other = there.differences[0], back.differences[0]
    assert one.mean == pytest.approx(-other.mean)
    assert one.p_value == pytest.approx(other.p_value)
    assert one.superiority == pytest.approx(1 - other.superiority)
    assert one.interval == pytest.approx((-other.interval[1], -other.interval[0]))
    assert there.first["a"] == pytest.approx(back.first["b"])
    assert sum(there.first.values()) == pytest.approx(1)


def test_values_of_a_region_are_those_of_the_cases_that_hold_it():
    models = pair([[0.8, 0.6], [NAN, 0.9]], [[0.5, 0.4], [NAN, 0.2]], regions=("left", "right"))
    np.testing.assert_array_equal(values_of(models, "dice", "left"), [[0.8, 0.5]])
    np.testing.assert_allclose(values_of(models, "dice", None), [[0.7, 0.45], [0.9, 0.2]])


def test_one_table_alone_is_refused(tmp_path):
    with pytest.raises(UsageError, match="one model alone"):
        read([tmp_path])


def test_tables_are_read_and_paired(tmp_path):
    for name, dice in (("one", 0.5), ("two", 0.75)):
        (tmp_path / name).mkdir()
        text = f"case,region,dice,hd95_mm,status\np,left,{dice},1.0,both\n"
        (tmp_path / name / "scores.csv").write_text(text)
    paired = read([tmp_path / "one", tmp_path / "two" / "scores.csv"], wanted=["dice"])
    assert paired.models == ("one", "two")
    assert paired.values["dice"].tolist() == [[[0.5, 0.75]]]
