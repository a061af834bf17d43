"""The whole line on a small copy of every data set, file for file as downloaded."""

import json

import nibabel
import numpy as np
import pytest

from medseg.__main__ import run
from tests.fake_data import FORMS

pytestmark = [pytest.mark.usefixtures("home"), pytest.mark.slow]

# What predictions are written in: the values of the data set's own label maps.
VALUES = {
    "brats_2018": {1, 2, 4},
    "brats_2023": {1, 2, 3},
    "brats_2024": {1, 2, 3},
    "brats_decathlon": {1, 2, 3},
    "synapse": {1, 2, 3, 4, 6, 7, 8, 11},
    "synapse_copies": {1, 2, 3, 4, 5, 6, 7, 8},
    "acdc": {1, 2, 3},
}
SPLITS = {"synapse": "18-12", "acdc": "70-10-20", "nnunet": "splits_final.json", "table": "cases"}


@pytest.fixture
def train(small_settings, tmp_path):
    """Trains for a tiny epoch and returns the run's folder."""

    def done(data, *arguments):
        changes = [part for setting in small_settings for part in ("--set", setting)]
        out = tmp_path / "run"
        command = ["train", "--data", str(data), "--out", str(out), "--epochs", "1"]
        few_windows = ["--device", "cpu", *changes, "--set", "patch=[32,32,16]"]
        assert run([*command, *few_windows, *arguments]) == 0
        return out

    return done


@pytest.mark.parametrize("form", FORMS)
def test_a_data_set_is_checked_trained_on_predicted_and_scored(form, train, tmp_path):
    data = tmp_path / "as downloaded"
    FORMS[form](data)
    assert run(["check", str(data), "-o", str(tmp_path / "check")]) == 0
    checked = json.loads((tmp_path / "check" / "check.json").read_text())
    assert checked["split"] == SPLITS.get(form.removesuffix("_older"), checked["split"])
    out = train(data)
    predicted = tmp_path / "predicted"
    assert run(["predict", "--held-out", str(out), "-o", str(predicted)]) == 0
    arguments = ["--prediction", str(predicted), "-o", str(tmp_path / "scores")]
    assert run(["evaluate", "--held-out", str(out), *arguments]) == 0
    scored = json.loads((tmp_path / "scores" / "summary.json").read_text())
    held_out = [name for name, case in checked["cases"].items() if case["part"] == "held out"]
    assert scored["cases"] == len(held_out) > 0
    allowed = set(checked["label_values"].values()) | {0}
    assert VALUES.get(form, allowed - {0}) == allowed - {0}
    for path in predicted.glob("*.nii.gz"):
        assert set(np.unique(nibabel.load(path).dataobj)) <= allowed
    # the data set as it lies is what is predicted, and what is scored against
    everything = tmp_path / "everything"
    assert run(["predict", str(data), "--model", str(out), "-o", str(everything)]) == 0
    task = ["--task", str(out / "task.yaml"), "--reference", str(data)]
    assert run(["evaluate", *task, "--prediction", str(everything)]) == 0


def test_predictions_are_written_in_the_values_of_the_data_they_are_of(train, tmp_path, capsys):
    for form in ("brats_2021", "brats_2023"):
        FORMS[form](tmp_path / form)
    out = train(tmp_path / "brats_2021", "--task", "brats")
    predicted = tmp_path / "predicted"
    arguments = ["--model", str(out), "-o", str(predicted)]
    assert run(["predict", str(tmp_path / "brats_2023"), *arguments]) == 0
    for path in predicted.glob("*.nii.gz"):  # 4 would be the resection cavity there
        assert set(np.unique(nibabel.load(path).dataobj)) <= {0, 1, 2, 3}
    folders = ["--reference", str(tmp_path / "brats_2023"), "--prediction", str(predicted)]
    assert run(["evaluate", "--task", "brats", *folders]) == 0
    capsys.readouterr()
    # without a folder for them they would lie among the references
    assert run(["predict", str(tmp_path / "brats_2023"), "--model", str(out)]) == 2
    assert "need a folder for the results" in capsys.readouterr().err


def test_the_other_tasks_of_a_data_set_take_it_too(train, tmp_path):
    FORMS["brats_2024"](tmp_path / "brats")
    task = train(tmp_path / "brats", "--task", "brats_2024") / "task.yaml"
    assert "resection_cavity" in task.read_text()
    FORMS["synapse"](tmp_path / "synapse")
    assert run(["check", str(tmp_path / "synapse"), "--task", "synapse_13", "--split", "24-6"]) == 0
