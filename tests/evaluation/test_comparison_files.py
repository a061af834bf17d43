"""A comparison as tables and files."""

import json
import math

import nibabel  # noqa: F401 - pulls in what matplotlib needs, before warnings become errors
import numpy as np
import pytest

from medseg.errors import OutputError
from medseg.evaluation import comparison_files
from medseg.evaluation.compare import compare
from medseg.evaluation.score_table import Paired

NAN = math.nan


@pytest.fixture
def comparison():
    """Six cases; the second model is worse by 0.1 to 0.6; nobody holds the right region."""
    values = np.full((6, 2, 2), NAN)
    values[:, 0, 0] = 0.9
    values[:, 0, 1] = 0.9 - np.arange(1, 7) / 10
    return compare(
        Paired(
            models=("new|er", "old"),
            cases=tuple("pqrstu"),
            regions=("left", "right"),
            higher_is_better={"dice": True},
            values={"dice": values},
            filled=3,
            not_compared=("mood",),
        ),
        draws=500,
    )


def test_the_tables_show_what_was_found(comparison):
    means, differences, extremes = comparison_files.tables(comparison)
    assert means.headings == ("metric", "better", "region", "cases", "new|er", "old")
    assert means.rows == (
        ("dice", "higher", "left", "6", "0.9000 (100 %)", "0.5500 (0 %)"),
        ("dice", "higher", "right", "0", "- (-)", "- (-)"),
        ("dice", "higher", "all regions", "6", "0.9000 (100 %)", "0.5500 (0 %)"),
    )
    # all six differences have one sign: 2 of 2^6 ways; two tests, the smaller p times two
    left = differences.rows[0]
    assert left[:6] == ("dice", "left", "new|er", "old", "-", "+0.3500")
    assert left[7:] == ("0.0312", "0.0625", "1.00")
    assert [row[1] for row in extremes.rows] == ["u", "t", "s", "r", "q"]
    assert extremes.rows[0][2:] == ("left", "new|er", "old", "0.9000", "0.3000", "+0.6000")


def test_every_row_is_as_long_as_its_headings(comparison):
    for table in comparison_files.tables(comparison):
        assert {len(row) for row in table.rows} == {len(table.headings)}


def test_markdown_holds_every_row_and_a_bar_in_a_name_is_no_border(comparison):
    text = comparison_files.markdown(comparison)
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert len(lines) == (2 + 3) + (2 + 2) + (2 + 5)
    assert "| dice | higher | left | 6 | 0.9000 (100 %) | 0.5500 (0 %) |" in lines
    assert "| metric | better | region | cases | new\\|er | old |" in lines
    assert lines[1] == "| --- | --- | --- | ---: | ---: | ---: |"


def test_the_notes_say_how_the_numbers_came_about(comparison):
    said = " ".join(comparison_files.notes(comparison))
    for fact in ("500 bootstrap", "seed 0", "for 2 tests", "with this: 3.", "Not compared: mood."):
        assert fact in said


def test_what_is_written_is_strict_json_with_null_for_nan(comparison, tmp_path):
    def refuse(constant):
        raise AssertionError(constant)

    comparison_files.write(comparison, tmp_path / "new")
    text = (tmp_path / "new/comparison.json").read_text()
    found = json.loads(text, parse_constant=refuse)
    assert found["models"] == ["new|er", "old"]
    assert (found["cases"], found["tests"], found["false_alarm_of_one"]) == (6, 2, 3)
    assert found["bootstrap"] == {"draws": 500, "seed": 0, "confidence": 0.95}
    left, right, both = found["findings"]
    assert right["mean"] == right["ranks_first"] == {"new|er": None, "old": None}
    assert right["differences"] == []
    assert both["region"] is None
    assert left["differences"][0]["p_value"] == pytest.approx(2 / 64)
    assert left["differences"][0]["probability_of_superiority"] == 1
    assert found["differ_most"][0] == {
        "metric": "dice",
        "case": "u",
        "region": "left",
        "values": {"new|er": 0.9, "old": pytest.approx(0.3)},
    }
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == [
        "comparison.json",
        "comparison.md",
        "comparison.png",
    ]


def test_an_interval_that_is_unknown_is_null_and_a_dash():
    values = np.array([[[0.5, 0.25]]])
    paired = Paired(("a", "b"), ("p",), ("left",), {"dice": True}, {"dice": values}, 0, ())
    comparison = compare(paired, draws=10)
    document = comparison_files.document(comparison)
    assert document["findings"][0]["differences"][0]["interval"] == [None, None]
    assert comparison_files.tables(comparison)[1].rows[0][6] == "- to -"
    assert "all regions" not in comparison_files.markdown(comparison)


def test_a_tiny_probability_is_no_zero(rng):
    values = rng.random((60, 1, 1)) + np.array([1.0, 0.0])
    paired = Paired(
        ("a", "b"), tuple(map(str, range(60))), ("left",), {"dice": True}, {"dice": values}, 0, ()
    )
    shown = comparison_files.tables(compare(paired, draws=10))[1].rows[0][7]
    assert "e-" in shown
    assert float(shown) > 0


def test_a_comparison_that_cannot_be_written_says_why(comparison, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="A file stands where a folder is needed"):
        comparison_files.write(comparison, tmp_path / "file")
