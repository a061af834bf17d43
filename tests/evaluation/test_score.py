import csv
import json
import math

import numpy as np
import pytest

from medseg.errors import OutputError
from medseg.evaluation.pair import Status
from medseg.evaluation.score import Score, Scores, score_case
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


def test_what_is_written_is_strict_json_with_null_for_nan(scores, tmp_path):
    scores.write(tmp_path / "new")

    def refuse(constant):
        raise AssertionError(constant)

    text = (tmp_path / "new/summary.json").read_text()
    summary = json.loads(text, parse_constant=refuse)
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


def test_the_table_has_a_line_for_each_region_of_each_case(scores, tmp_path):
    scores.write(tmp_path)
    with (tmp_path / "scores.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["case", "region", "dice", "hd95_mm", "status"]
    assert len(rows) == 9
    assert rows[4] == {
        "case": "b",
        "region": "core",
        "dice": "0.0",
        "hd95_mm": "50.0",
        "status": "missed",
    }
    assert math.isnan(float(rows[1]["dice"]))


def test_scores_that_cannot_be_written_say_why(scores, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="A file stands where a folder is needed"):
        scores.write(tmp_path / "file")


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


def test_an_infinite_mean_is_null_in_json():
    scores = Scores((score("a", "whole", 0.0, math.inf, Status.MISSED),), convention="deepmind")
    assert scores.summary()["mean"] == {"dice": 0.0, "hd95_mm": None}
    assert scores.summary()["convention"] == "deepmind"
