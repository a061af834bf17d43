import csv
import io
import math
import time

import numpy as np
import pytest

from medseg.evaluation import bootstrap
from medseg.evaluation.pair import Status
from medseg.evaluation.score import SIZES, Score, Scores, score_case
from medseg.segmentation import Segmentation
from medseg.volume import Grid

NAN = math.nan


def score(case, region, dice, hd95_mm, status=Status.BOTH):
    return Score(case, region, {"dice": dice, "hd95_mm": hd95_mm}, status)


@pytest.fixture
def scores():
    return Scores(
        (
            score("a", "whole", 0.9, 2.0),
            score("a", "core", NAN, NAN, Status.ABSENT),
            score("a", "inner", NAN, NAN, Status.ABSENT),
            score("b", "whole", 0.7, 4.0),
            score("b", "core", 0.0, 50.0, Status.MISSED),
            score("b", "inner", NAN, NAN, Status.ABSENT),
            score("c", "whole", 0.0, 60.0, Status.FALSE_ALARM),
            score("c", "core", 0.5, 10.0),
            score("c", "inner", NAN, NAN, Status.ABSENT),
        )
    )


def test_a_region_s_mean_leaves_out_absent_cases_and_keeps_missed_ones(scores):
    assert scores.region_mean("dice", "core") == pytest.approx(0.25)  # 0 and 0.5
    assert scores.region_mean("hd95_mm", "core") == pytest.approx(30.0)


def test_the_mean_is_that_of_the_regions_and_each_weighs_the_same(scores):
    # whole: (0.9 + 0.7 + 0) / 3; core: 0.25; inner is absent everywhere
    assert scores.mean("dice") == pytest.approx((1.6 / 3 + 0.25) / 2)
    assert scores.mean("hd95_mm") == pytest.approx((22.0 + 30.0) / 2)


def test_counts_are_by_status_and_region(scores):
    assert scores.count(Status.ABSENT) == 4
    assert scores.count(Status.ABSENT, "inner") == 3
    assert scores.count(Status.MISSED, "core") == 1
    assert scores.count(Status.FALSE_ALARM, "core") == 0


def test_the_summary_has_null_for_nan(scores):
    summary = scores.summary()
    assert summary["convention"] == "medseg"
    assert summary["cases"] == 3
    assert summary["mean"]["hd95_mm"] == pytest.approx(26.0)
    assert (summary["absent"], summary["missed"], summary["false_alarm"]) == (4, 1, 1)
    nothing = {"dice": None, "hd95_mm": None}
    assert summary["regions"]["inner"] == {
        "mean": nothing,
        "median": nothing,
        "standard_deviation": nothing,
        "interval_95": nothing,
        "absent": 3,
        "missed": 0,
        "false_alarm": 0,
    }


def test_the_interval_of_one_region_is_that_of_its_mean(rng):
    values = rng.random(30).tolist()
    one = Scores(tuple(score(str(case), "whole", dice, 1.0) for case, dice in enumerate(values)))
    assert one.interval("dice") == pytest.approx(bootstrap.interval(np.array(values)))
    assert one.summary()["interval_95"]["dice"] == pytest.approx(list(one.interval("dice")))


def test_the_interval_over_all_regions_draws_cases_and_not_rows():
    # a: 0 and 1; b: 1 and 0: whichever cases are drawn, the regions' means average to 0.5
    rows = [("a", "left", 0.0), ("a", "right", 1.0), ("b", "left", 1.0), ("b", "right", 0.0)]
    one = Scores(tuple(score(*row, 1.0) for row in rows))
    assert one.interval("dice") == (0.5, 0.5)


def test_the_interval_over_all_regions_is_that_of_a_plain_loop(rng):
    values = rng.random((12, 3))
    values[rng.random(values.shape) < 0.4] = NAN
    rows = [
        score(str(case), str(region), value, 1.0)
        for case, line in enumerate(values.tolist())
        for region, value in enumerate(line)
    ]
    drawn = []
    for _ in range(4000):
        chosen = values[rng.integers(12, size=12)]
        means = [
            column[~np.isnan(column)].mean() for column in chosen.T if np.isfinite(column).any()
        ]
        drawn.append(np.mean(means))
    low, high = np.quantile(drawn, [0.025, 0.975])
    assert Scores(tuple(rows)).interval("dice") == pytest.approx(
        (low, high), abs=0.04 * (high - low)
    )


@pytest.mark.slow
def test_many_regions_of_many_cases_are_summed_up_at_once(rng):
    names = [f"metric_{number}" for number in range(14)]
    rows = tuple(
        Score(f"case_{case}", f"part_{part}", dict(zip(names, values, strict=True)), Status.BOTH)
        for case, parts in enumerate(rng.random((200, 118, 14)).tolist())
        for part, values in enumerate(parts)
    )
    scores = Scores(rows)
    start = time.process_time()
    summary = scores.summary()
    assert time.process_time() - start < 4  # a loop over rows for each region took a minute
    expected = np.mean([row.values["metric_3"] for row in rows if row.region == "part_7"])
    assert summary["regions"]["part_7"]["mean"]["metric_3"] == pytest.approx(expected)


def test_one_case_has_no_interval_and_neither_has_infinity():
    one = Scores((score("a", "whole", 0.5, 1.0),))
    assert all(map(math.isnan, one.interval("dice")))
    two = Scores((score("a", "whole", 0.5, math.inf), score("b", "whole", 0.5, 1.0)))
    assert two.summary()["interval_95"] == {"dice": [0.5, 0.5], "hd95_mm": None}


def test_the_table_has_a_line_for_each_region_of_each_case(scores):
    rows = list(csv.DictReader(io.StringIO(scores.table())))
    named = ["case", "region", "dice", "hd95_mm", "status"]
    assert list(rows[0]) == [*named, *SIZES]
    assert len(rows) == 9
    assert {name: rows[4][name] for name in named} == {
        "case": "b",
        "region": "core",
        "dice": "0.0",
        "hd95_mm": "50.0",
        "status": "missed",
    }
    assert math.isnan(float(rows[1]["dice"]))


def test_nothing_scored_has_no_mean():
    assert math.isnan(Scores(()).mean("dice"))
    assert Scores(()).summary()["mean"] == {}


def test_overlapping_regions_are_scored_as_unions_of_labels(phantom_task):
    grid = Grid((6, 1, 1), np.diag([2.0, 1.0, 1.0, 1.0]))
    reference = np.array([1, 1, 2, 2, 4, 0], dtype=np.uint8).reshape(6, 1, 1)
    prediction = np.array([1, 1, 1, 2, 2, 2], dtype=np.uint8).reshape(6, 1, 1)
    rows = score_case(
        "a",
        Segmentation(reference, grid, phantom_task),
        Segmentation(prediction, grid, phantom_task),
    )
    assert [row.region for row in rows] == ["whole", "core", "innermost"]
    assert rows[0].values["dice"] == pytest.approx(2 * 5 / (5 + 6))
    assert rows[1].values["dice"] == pytest.approx(2 * 2 / (3 + 3))
    assert rows[1].values["hd95_mm"] == pytest.approx(0.9 * 2.0)  # 0, 0, 2 both ways
    assert rows[2].values["dice"] == 0.0
    assert rows[2].values["hd95_mm"] == pytest.approx((12**2 + 1 + 1) ** 0.5)
    assert [row.status for row in rows] == [Status.BOTH, Status.BOTH, Status.MISSED]
    assert rows[1].volumes_ml == pytest.approx((0.006, 0.006))  # three voxels of 2 mm3


def test_sizes_of_both_sides_stand_beside_the_metrics(hippocampus_task):
    grid = Grid((8, 3, 3), np.diag([2.0, 1.0, 10.0, 1.0]))
    reference, prediction = np.zeros((2, 8, 3, 3), dtype=np.uint8)
    reference[:3] = 1
    reference[1, 1, 1] = 0  # a hole
    prediction[0], prediction[2] = 1, 1  # two parts without one
    prediction[6, 1, 1] = 2
    sides = [Segmentation(side, grid, hippocampus_task) for side in (reference, prediction)]
    anterior, posterior = score_case("a", *sides)
    # 26 and 18 voxels of 20 mm3
    expected = (0.52, 0.36, -0.16, -100 * 8 / 26, 1, 2, 1, 0)
    assert anterior.sizes == pytest.approx(expected)
    assert posterior.sizes == pytest.approx((0, 0.02, 0.02, NAN, 0, 1, 0, 0), nan_ok=True)
    (first, _) = csv.DictReader(io.StringIO(Scores((anterior, posterior)).table()))
    assert [float(first[name]) for name in SIZES] == pytest.approx(expected)


def test_many_voxels_are_scored_in_threads_alike(rng, hippocampus_task):
    grid = Grid((60, 60, 60), np.eye(4))
    sides = [
        Segmentation(rng.integers(0, 3, grid.shape).astype(np.uint8), grid, hippocampus_task)
        for _ in range(2)
    ]
    rows = score_case("a", *sides)
    first, second = ((side.label_map == 1) for side in sides)
    expected = 2 * (first & second).sum() / (first.sum() + second.sum())
    assert rows[0].values["dice"] == pytest.approx(expected)


def test_an_infinite_mean_is_null_in_json():
    scores = Scores((score("a", "whole", 0.0, math.inf, Status.MISSED),), convention="deepmind")
    assert scores.summary()["mean"] == {"dice": 0.0, "hd95_mm": None}
    assert scores.summary()["convention"] == "deepmind"
