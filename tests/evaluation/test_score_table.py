"""Reading and pairing tables of scores."""

import json
import math

import numpy as np
import pytest

from medseg.errors import DataError, UsageError
from medseg.evaluation import score_files, score_table
from medseg.evaluation.pair import Status
from medseg.evaluation.score import Score, Scores

ABSENT, MISSED, FALSE_ALARM = Status.ABSENT, Status.MISSED, Status.FALSE_ALARM
NAN = math.nan


def put(folder, *rows):
    """Write scores as evaluate does; a row is case, region, Dice, HD95 and perhaps status."""
    folder.mkdir()
    filled = [",".join(map(str, row if len(row) == 5 else (*row, "both"))) for row in rows]
    text = "\n".join(["case,region,dice,hd95_mm,status", *filled, ""])
    (folder / "scores.csv").write_text(text)
    (folder / "summary.json").write_text('{"convention": "medseg"}')
    return folder


def paired(*folders, **options):
    return score_table.pair([score_table.read(folder) for folder in folders], **options)


@pytest.fixture
def two(tmp_path):
    """Cases p and q with two regions; the second model has them in another order."""
    rows = [("p", "left", 0.9, 1.0), ("p", "right", 0.8, 2.0), ("q", "left", 0.7, 3.0)]
    last = ("q", "right", NAN, NAN, ABSENT)
    first = put(tmp_path / "first", *rows, last)
    worse = [(case, region, dice - 0.5, hd95 + 1) for case, region, dice, hd95 in rows]
    return first, put(tmp_path / "second", last, *worse[::-1])


def test_scores_are_paired_by_case_and_region_whatever_their_order(two):
    pair = paired(*two)
    assert (pair.models, pair.cases, pair.regions) == (
        ("first", "second"),
        ("p", "q"),
        ("left", "right"),
    )
    assert pair.higher_is_better == {"dice": True, "hd95_mm": False}
    expected = [[[0.9, 0.4], [0.8, 0.3]], [[0.7, 0.2], [NAN, NAN]]]
    np.testing.assert_allclose(pair.values["dice"], expected)
    np.testing.assert_allclose(pair.values["hd95_mm"][0, 1], [2, 3])
    assert (pair.filled, pair.not_compared) == (0, ())


def test_a_file_is_read_as_its_folder_is(two):
    file, folder = score_table.read(two[0] / "scores.csv"), score_table.read(two[0])
    assert repr(file) == repr(folder)  # NaN does not equal itself


def test_what_evaluate_writes_is_read(tmp_path):
    scores = Scores((Score("p", "left", {"dice": 1 / 3, "hd95_mm": NAN}, Status.BOTH),))
    score_files.write(scores, tmp_path)
    table = score_table.read(tmp_path)
    assert table.convention == "medseg"
    assert dict(zip(table.columns, table.values["p", "left"], strict=True))["dice"] == 1 / 3
    assert table.status == {("p", "left"): Status.BOTH}


def test_rightly_empty_is_best_against_a_false_alarm(tmp_path):
    right = put(tmp_path / "right", ("p", "left", NAN, NAN, ABSENT), ("q", "left", 0.9, 1.0))
    wrong = put(tmp_path / "wrong", ("p", "left", 0.0, 50.0, FALSE_ALARM), ("q", "left", 0.9, 1.0))
    pair = paired(right, wrong)
    assert pair.filled == 1
    assert pair.values["dice"][0, 0].tolist() == [1.0, 0.0]
    assert pair.values["hd95_mm"][0, 0].tolist() == [0.0, 50.0]


def test_a_value_that_a_convention_gives_to_the_absent_is_kept(tmp_path):
    right = put(tmp_path / "right", ("p", "left", 0.75, 3.0, ABSENT))
    wrong = put(tmp_path / "wrong", ("p", "left", 0.0, 50.0, FALSE_ALARM))
    pair = paired(right, wrong)
    assert pair.filled == 0
    assert pair.values["dice"][0, 0].tolist() == [0.75, 0.0]


def test_cases_and_regions_that_one_model_lacks_are_listed(tmp_path):
    whole = [(case, region, 0.5, 1.0) for case in "pqr" for region in ("left", "right")]
    full = put(tmp_path / "full", *whole)
    part = put(tmp_path / "part", *whole[:3])
    for order in ((full, part), (part, full)):
        with pytest.raises(DataError) as error:
            paired(*order)
        assert str(error.value).startswith(str(part / "scores.csv"))
        assert "lacks cases that another model has: q (right), r." in str(error.value)


def test_other_references_are_refused(tmp_path):
    one = put(tmp_path / "one", ("p", "left", 0.0, 9.0, MISSED), ("q", "left", 0.5, 1.0))
    other = put(tmp_path / "other", ("p", "left", NAN, NAN, ABSENT), ("q", "left", 0.5, 1.0))
    with pytest.raises(DataError, match=r"another reference than .*one/scores\.csv: p \(left\)"):
        paired(one, other)


@pytest.mark.parametrize("odd", [NAN, math.inf])
def test_a_value_of_one_model_alone_is_refused(tmp_path, odd):
    one = put(tmp_path / "one", ("p", "left", 0.0, odd, MISSED))
    other = put(tmp_path / "other", ("p", "left", 0.5, 1.0))
    with pytest.raises(DataError, match=r"hd95_mm is infinite, or .* alone: p \(left\)"):
        paired(one, other)
    assert list(paired(one, other, wanted=["dice"]).values) == ["dice"]


def test_what_no_model_has_a_value_for_is_left_out_whatever_its_status(tmp_path):
    folders = [put(tmp_path / name, ("p", "left", 0.0, NAN, MISSED)) for name in ("a", "b")]
    assert np.isnan(paired(*folders).values["hd95_mm"]).all()


def test_other_conventions_are_refused(two):
    (two[1] / "summary.json").write_text(json.dumps({"convention": "monai"}))
    with pytest.raises(DataError, match=r"different conventions \(medseg, monai\)"):
        paired(*two)


@pytest.mark.parametrize("text", ["[]", "{", "{}"])
def test_a_table_without_a_convention_is_taken_as_it_is(two, text):
    (two[1] / "summary.json").write_text(text)
    assert score_table.read(two[1]).convention is None
    assert paired(*two).cases == ("p", "q")


@pytest.mark.parametrize("wanted", [["hd95"], ["hd95_mm"]])
def test_a_metric_is_wanted_by_its_name_or_column(two, wanted):
    assert list(paired(*two, wanted=wanted).values) == ["hd95_mm"]


def test_a_metric_that_is_not_there_is_refused(two):
    with pytest.raises(UsageError, match=r"metric speed\. Choose from dice, hd95_mm"):
        paired(*two, wanted=["dice", "speed"])


def test_columns_that_are_no_metrics_are_named(two):
    for folder, extra in zip(two, ("rater", "mood"), strict=True):
        lines = (folder / "scores.csv").read_text().splitlines()
        text = "\n".join([f"{extra},{lines[0]}", *(f"1,{line}" for line in lines[1:])])
        (folder / "scores.csv").write_text(text, encoding="utf-8-sig")  # as Excel does
    pair = paired(*two)
    assert list(pair.values) == ["dice", "hd95_mm"]
    assert pair.not_compared == ("mood", "rater")


def test_tables_without_a_common_metric_are_refused(tmp_path):
    for name in ("a", "b"):
        (tmp_path / f"{name}.csv").write_text("case,region,mood,status\np,left,1,both\n")
    with pytest.raises(UsageError, match="no metric in common"):
        paired(tmp_path / "a.csv", tmp_path / "b.csv")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no scores"),
        ("case,region,dice,status\n", "holds no scores"),
        ("case,dice\np,0.5\n", "has no column region, status"),
        ("case,region,dice,status\np,left,good,both\n", "line 2: could not convert"),
        ("case,region,dice,status\np,left,0.5,both\nq,left,0.5,odd\n", "line 3: 'odd'"),
        ("case,region,dice,status\np,left,0.5\n", "in line 2"),
        ("case,region,dice,status\np,left,0.5,both\np,left,0.5,both\n", "region left of case p"),
        (b"\xff\xfe\x00", "is no table of scores"),
    ],
)
def test_what_is_no_table_of_scores_is_refused_in_one_line(tmp_path, text, message):
    path = tmp_path / "scores.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(DataError, match=message) as error:
        score_table.read(tmp_path)
    assert str(error.value).startswith(str(path))
    assert "\n" not in str(error.value)


def test_a_missing_table_says_what_to_give(tmp_path):
    with pytest.raises(DataError, match=r"cannot be read\. Give the folder"):
        score_table.read(tmp_path / "nowhere")


def test_names_are_folders_with_as_many_parents_as_are_needed(tmp_path):
    a, b, c = (tmp_path / name / "scores.csv" for name in ("x/run", "y/run", "z/other"))
    assert score_table.names([a, c]) == ("run", "other")
    assert score_table.names([a, b, c]) == ("x/run", "y/run", "z/other")
    assert score_table.names([a, tmp_path / "mine.csv"]) == ("run", "mine.csv")


def test_one_table_twice_is_refused(tmp_path):
    with pytest.raises(UsageError, match="is given twice"):
        score_table.names([tmp_path / "a/scores.csv", tmp_path / "b/../a/scores.csv"])


def test_sizes_are_no_metrics_and_are_passed_over(tmp_path):
    scored = Scores(
        (Score("a", "left", {"dice": 0.5}, Status.BOTH, (1.0, 2.0), (1.0, 2.0), (0.0, 0.0)),)
    )
    (tmp_path / "scores.csv").write_text(scored.table())
    assert score_table.read(tmp_path).columns == ("dice",)
