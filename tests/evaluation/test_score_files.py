"""Scores as files and tables."""

import json
import math

import pytest

from medseg.errors import OutputError
from medseg.evaluation import score_files
from medseg.evaluation.clinical_numbers import NOTHING, ClinicalNumbers, Measured
from medseg.evaluation.pair import Status
from medseg.evaluation.score import Score, Scores

NAN = math.nan


@pytest.fixture
def scores():
    return Scores(
        (
            Score("a", "le|ft", {"dice": 0.5, "recall": 0.25}, Status.BOTH),
            Score("a", "right", {"dice": NAN, "recall": NAN}, Status.ABSENT),
            Score("b", "le|ft", {"dice": 1.0, "recall": 1.0}, Status.BOTH),
            Score("b", "right", {"dice": 0.0, "recall": 0.0}, Status.MISSED),
        )
    )


@pytest.fixture
def numbers():
    rows = (Measured("a", "LV EF", "%", 60.0, 55.0), Measured("b", "LV EF", "%", 50.0, 55.0))
    return ClinicalNumbers(rows, left_out=("bone_age",))


def test_every_mean_has_its_counts_beside_it(scores):
    table = score_files.means(scores)
    assert table.title == "2 cases, medseg convention"
    assert table.headings == ("region", "dice", "missed", "false alarm", "absent")
    assert table.rows[:3] == (
        ("le|ft", "0.7500", "0", "0", "0"),
        ("right", "0.0000", "1", "0", "1"),
        ("mean", "0.3750", "1", "0", "1"),
    )
    assert table.rows[3][0] == "95 % interval"
    assert table.rows[3][1].count(" to ") == 1


def test_clinical_numbers_are_shown_with_their_errors(numbers):
    (row,) = score_files.agreements(numbers).rows
    limit = 1.96 * math.sqrt(50)  # of -5 and 5
    assert row == (
        *("LV EF", "%", "55", "55", "+0", f"-{limit:.4g} to +{limit:.4g}"),
        *("5", f"{100 * (5 / 60 + 5 / 50) / 2:.4g}", "2", "0", "0", "0", "0"),
    )


def test_the_markdown_holds_both_tables_and_says_what_is_left_out(scores, numbers):
    text = score_files.markdown(scores, numbers)
    assert "| le\\|ft | 0.7500 | 0 | 0 | 0 |" in text
    assert "## Clinical numbers" in text
    assert "Convention medseg: Percentile: the larger of the two directed ones" in text
    assert "0 for an overlap, the image's diagonal for a distance" in text
    assert "(medseg/evaluation/metrics)" in text
    assert "Left out: bone_age" in text
    assert "Clinical" not in score_files.markdown(scores, NOTHING)


def test_what_is_written_is_strict_json_with_null_for_nan(scores, numbers, tmp_path):
    score_files.write_all({"medseg": scores}, numbers, tmp_path / "new")

    def refuse(constant):
        raise AssertionError(constant)

    text = (tmp_path / "new/summary.json").read_text()
    summary = json.loads(text, parse_constant=refuse)
    assert summary["mean"]["dice"] == 0.375
    assert (summary["absent"], summary["missed"], summary["false_alarm"]) == (1, 1, 0)
    assert summary["interval_95"]["dice"] == list(scores.interval("dice"))
    assert summary["clinical"]["LV EF"]["mean_absolute_error"] == 5.0
    assert summary["clinical_left_out"] == ["bone_age"]
    assert (tmp_path / "new/clinical.csv").read_text().startswith("subject,quantity,unit,")
    assert (tmp_path / "new/scores.csv").read_text() == scores.table()
    assert (tmp_path / "new/scores.md").read_text() == score_files.markdown(scores, numbers)


def test_without_clinical_numbers_there_is_no_table_of_them(scores, tmp_path):
    score_files.write_all({"medseg": scores}, NOTHING, tmp_path)
    assert not (tmp_path / "clinical.csv").exists()


def test_scores_that_cannot_be_written_say_why(scores, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="A file stands where a folder is needed"):
        score_files.write(scores, tmp_path / "file")


def names_in(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_clinical_numbers_are_written_once_for_all_conventions(scores, numbers, tmp_path):
    score_files.write_all({"medseg": scores, "monai": scores}, numbers, tmp_path)
    assert names_in(tmp_path) == [
        "clinical.csv",
        *(f"medseg/{name}" for name in ("scores.csv", "scores.md", "summary.json")),
        *(f"monai/{name}" for name in ("scores.csv", "scores.md", "summary.json")),
    ]


def test_what_an_earlier_evaluation_has_left_is_removed_and_nothing_else(scores, numbers, tmp_path):
    (tmp_path / "mine.png").write_text("")
    score_files.write_all({"medseg": scores, "monai": scores}, numbers, tmp_path)
    for name in ("monai/boxes.png", "bland_altman.png", "monai/notes.txt"):
        (tmp_path / name).write_text("old")
    score_files.write_all({"medseg": scores}, NOTHING, tmp_path)
    (tmp_path / "worst_cases.png").write_text("old")
    written = ["scores.csv", "scores.md", "summary.json"]
    assert names_in(tmp_path) == ["mine.png", "monai/notes.txt", *written, "worst_cases.png"]
    score_files.write_all({"medseg": scores, "nnunet": scores}, NOTHING, tmp_path)
    assert names_in(tmp_path) == [
        *(f"medseg/{name}" for name in written),
        *("mine.png", "monai/notes.txt"),
        *(f"nnunet/{name}" for name in written),
    ]


def test_pictures_that_no_evaluation_wrote_stay(scores, tmp_path):
    (tmp_path / "boxes.png").write_text("somebody's")
    score_files.write_all({"medseg": scores}, NOTHING, tmp_path)
    assert (tmp_path / "boxes.png").is_file()


def test_a_terminal_gets_few_columns_and_counts_that_are_not_nought(numbers):
    table = score_files.agreements_in_brief(numbers)
    assert table.headings == ("quantity", "reference", "prediction", "error ± limits")
    limit = 1.96 * math.sqrt(50)
    assert table.rows == (("LV EF (%)", "55", "55", f"+0 ± {limit:.4g}"),)
    missed = ClinicalNumbers((*numbers.rows, Measured("c", "LV EF", "%", 50.0, 0.0)))
    table = score_files.agreements_in_brief(missed)
    assert table.headings[4:] == ("missed",)
    assert table.rows[0][4] == "1"


def test_a_convention_shows_all_its_columns_and_the_default_those_read_most():
    both = {"dice": 0.5, "iou": 1 / 3}
    few = Scores((Score("a", "left", both, Status.BOTH),), convention="nnunet")
    assert score_files.shown(few) == ["dice", "iou"]
    many = {"assd_mm": 1.0, **both, "hd95_mm": 1.0, "hd_mm": 1.0, "nsd": 1.0, "recall": 1.0}
    many = Scores((Score("a", "left", many, Status.BOTH),))
    assert score_files.shown(many) == ["dice", "nsd", "hd95_mm", "assd_mm"]
