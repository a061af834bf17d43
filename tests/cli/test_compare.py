"""`medseg compare`."""

import json

import nibabel  # noqa: F401 - pulls in what matplotlib needs, before warnings become errors
import pytest

from medseg.__main__ import run

REGIONS = ("anterior", "posterior")


def _put(folder, loss, cases=range(10)):
    """Ten cases; `loss` is what a model's Dice lacks, a little more in every case."""
    folder.mkdir(parents=True)
    rows = [
        f"case_{case},{region},{0.9 - loss * (1 + case / 10)},{1 + 10 * loss},both"
        for case in cases
        for region in REGIONS
    ]
    text = "\n".join(["case,region,dice,hd95_mm,status", *rows, ""])
    (folder / "scores.csv").write_text(text)
    return folder


@pytest.fixture
def folders(tmp_path):
    return _put(tmp_path / "new", 0.0), _put(tmp_path / "old", 0.1)


def _compare(*arguments):
    return run(["compare", *map(str, arguments)])


def test_a_comparison_is_shown_and_written(folders, tmp_path, capsys):
    assert _compare(*folders, "-o", tmp_path / "out") == 0
    shown = capsys.readouterr().out
    assert "Differences, first minus second" in shown
    assert "for 6 tests" in shown
    assert "case_9" in shown
    found = json.loads((tmp_path / "out/comparison.json").read_text())
    assert found["models"] == ["new", "old"]
    dice = found["findings"][0]
    assert dice["mean"] == pytest.approx({"new": 0.9, "old": 0.9 - 0.145})
    assert dice["differences"][0]["mean"] == pytest.approx(0.145)
    assert dice["differences"][0]["p_value"] == pytest.approx(2 / 1024)  # of 2^10 ways
    assert dice["differences"][0]["p_corrected"] == pytest.approx(6 * 2 / 1024)
    assert {d["better"] for finding in found["findings"] for d in finding["differences"]} == {"new"}
    assert (tmp_path / "out/comparison.md").read_text().startswith("# Comparison of new, old\n")
    assert (tmp_path / "out/comparison.png").read_bytes().startswith(b"\x89PNG")


def test_three_models_of_one_metric(folders, tmp_path, capsys):
    third = _put(tmp_path / "more/old", 0.2)
    files = [folders[0] / "scores.csv", folders[1], third]
    assert _compare(*files, "--metric", "dice", "-o", tmp_path / "out") == 0
    assert "hd95" not in capsys.readouterr().out
    found = json.loads((tmp_path / "out/comparison.json").read_text())
    parent = tmp_path.name
    assert found["models"] == [f"{parent}/new", f"{parent}/old", "more/old"]
    assert len(found["findings"][0]["differences"]) == 3
    assert found["findings"][0]["ranks_first"][f"{parent}/new"] == 1


def test_a_model_beside_its_copy_does_not_differ(folders, tmp_path):
    copy = _put(tmp_path / "copy", 0.0)
    assert _compare(folders[0], copy, "-o", tmp_path / "out") == 0
    found = json.loads((tmp_path / "out/comparison.json").read_text())
    assert {d["better"] for finding in found["findings"] for d in finding["differences"]} == {None}
    assert found["differ_most"] == []


def test_errors_are_one_line(folders, tmp_path, capsys):
    part = _put(tmp_path / "part", 0.1, range(8))
    for arguments, code, message in (
        ((folders[0],), 2, "one model alone cannot be compared"),
        ((*folders, "-o", tmp_path / "out.png"), 2, "would be a folder, but is called as a file"),
        ((folders[0], folders[0]), 2, "is given twice"),
        ((*folders, "--metric", "speed"), 2, "Choose from dice, hd95_mm"),
        ((folders[0], tmp_path / "nowhere"), 4, "cannot be read"),
        ((folders[0], part), 4, "lacks cases that another model has: case_8, case_9"),
    ):
        assert _compare(*arguments) == code
        shown = capsys.readouterr().err
        assert message in shown
        assert shown.count("\n") == 1


def test_no_scores_at_all_are_a_wrong_usage():
    assert _compare() == 2
