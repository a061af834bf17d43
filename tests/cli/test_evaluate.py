"""`medseg evaluate`."""

import json

import nibabel
import numpy as np
import pytest

from medseg.__main__ import run


@pytest.fixture
def folders(tmp_path):
    """Two cases: the first is right, in the second the posterior part is missed."""
    labels = np.zeros((8, 8, 8), np.uint8)
    labels[1:4, 1:4, 1:4] = 1
    labels[5:7, 5:7, 5:7] = 2
    half = np.where(labels == 2, 0, labels).astype(np.uint8)
    reference, prediction = tmp_path / "reference", tmp_path / "prediction"
    for folder, case, voxels in (
        (reference, "a", labels),
        (reference, "b", labels),
        (prediction, "a_seg", labels),
        (prediction, "b_seg", half),
    ):
        folder.mkdir(exist_ok=True)
        nibabel.save(nibabel.Nifti1Image(voxels, np.eye(4)), folder / f"{case}.nii.gz")
    return reference, prediction


def _evaluate(reference, prediction, *more):
    folders = ["--reference", str(reference), "--prediction", str(prediction)]
    return run(["evaluate", "--task", "hippocampus", *folders, *map(str, more)])


def test_scores_are_shown_and_written(folders, tmp_path, capsys):
    assert _evaluate(*folders, "-o", tmp_path / "scores") == 0
    shown = capsys.readouterr().out
    assert "medseg convention" in shown
    assert "0.7500" in shown
    assert "centre" not in shown
    summary = json.loads((tmp_path / "scores" / "summary.json").read_text())
    assert summary["mean"]["dice"] == 0.75  # (1 + 1) / 2 and (1 + 0) / 2
    assert summary["missed"] == 1
    # the missed part counts as far as the image's diagonal, 8 * sqrt(3) mm, in one of two cases
    assert summary["regions"]["posterior"]["mean"]["hd95_mm"] == pytest.approx(4 * np.sqrt(3))
    assert summary["mean"]["recall"] == 0.75
    assert (tmp_path / "scores" / "scores.csv").read_text().count("\n") == 5


def test_a_missing_prediction_is_an_error(folders, capsys):
    (folders[1] / "b_seg.nii.gz").unlink()
    assert _evaluate(*folders) == 4
    assert "has no prediction for 1 of 2 cases: b" in capsys.readouterr().err


def test_an_unknown_task_is_a_wrong_usage(folders, capsys):
    reference, prediction = map(str, folders)
    arguments = ["--task", "spleen", "--reference", reference, "--prediction", prediction]
    assert run(["evaluate", *arguments]) == 2
    assert "Choose one of acdc, brats, hippocampus, phantom" in capsys.readouterr().err


def test_several_conventions_are_shown_and_written_side_by_side(folders, tmp_path, capsys):
    more = ["--convention", "medseg", "--convention", "monai", "-o", tmp_path / "scores"]
    assert _evaluate(*folders, *more) == 0
    shown = capsys.readouterr().out
    assert "medseg convention" in shown
    assert "monai convention" in shown
    summary = json.loads((tmp_path / "scores" / "monai" / "summary.json").read_text())
    assert summary["convention"] == "monai"
    assert summary["mean"]["hd95_mm"] == 0.0  # the missed part has dropped out
    assert (tmp_path / "scores" / "medseg" / "scores.csv").is_file()


def test_an_unknown_convention_is_a_wrong_usage(folders, capsys):
    assert _evaluate(*folders, "--convention", "brats") == 2
    assert "Choose one of brats2020, brats2023" in capsys.readouterr().err
