"""`medseg train`, from the data to a scored prediction."""

import json

import nibabel
import numpy as np
import pytest

from medseg.__main__ import run
from medseg.data.phantom import write_dataset
from medseg.errors import UsageError
from medseg.training import cross_validation

pytestmark = pytest.mark.usefixtures("home")


def _train(*arguments):
    return run(["train", *map(str, arguments)])


@pytest.fixture
def changes(small_settings):
    return [part for setting in small_settings for part in ("--set", setting)]


@pytest.fixture
def data(tmp_path):
    folder = tmp_path / "phantom data"
    assert run(["phantom", str(folder), "--cases", "5", "--test-cases", "1"]) == 0
    return folder


@pytest.mark.slow
def test_the_whole_line_runs(data, changes, tmp_path, capsys):
    out = tmp_path / "run"
    assert _train("--task", "phantom", "--data", data, "--out", out, "--epochs", 1, *changes) == 0
    assert f"medseg predict SCAN --model {out}" in capsys.readouterr().out.replace("\n", " ")
    predictions = tmp_path / "predictions"
    assert run(["predict", "--held-out", str(out), "-o", str(predictions)]) == 0
    assert len(list(predictions.glob("*_seg.nii.gz"))) == 1
    arguments = ["--task", "phantom", "--reference", str(data / "labelsTr"), "--prediction"]
    scores = ["--held-out", str(out), "-o", str(tmp_path / "scores")]
    assert run(["evaluate", *arguments, str(predictions), *scores]) == 0
    assert json.loads((tmp_path / "scores" / "summary.json").read_text())["cases"] == 1
    # a second run in the same folder is refused, a resume of a finished one is not
    assert _train("--task", "phantom", "--data", data, "--out", out, *changes) == 2
    assert _train("--resume", "--out", out) == 0


def test_without_a_task_it_names_where_to_look(capsys):
    assert _train() == 2
    assert "medseg tasks" in capsys.readouterr().err


def test_without_data_it_says_where_they_come_from(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert _train("--task", "hippocampus") == 4
    shown = capsys.readouterr().err
    assert "Task04_Hippocampus from http://medicaldecathlon.com" in shown


def test_data_are_found_where_the_environment_says(data, tmp_path, monkeypatch, capsys):
    data.rename(tmp_path / "phantom")
    monkeypatch.setenv("MEDSEG_DATA", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert _train("--task", "phantom", "--fold", 9) == 2
    assert "there is no fold 9" in capsys.readouterr().err


def test_it_says_when_it_trains_as_a_paper_did(data, capsys):
    arguments = ("--task", "phantom", "--data", data, "--fold", 9)
    assert _train(*arguments, "--network", "d_former") == 2
    shown = " ".join(capsys.readouterr().err.split())
    assert "Trains as the paper of d_former did; --recipe default" in shown
    for others in (("--network", "d_former", "--recipe", "default"), ("--network", "res_enc_unet")):
        assert _train(*arguments, *others) == 2
        assert "paper" not in capsys.readouterr().err


def test_a_resume_takes_nothing_but_the_folder(capsys):
    assert _train("--resume", "--task", "phantom", "--out", "x") == 2
    assert _train("--resume") == 2
    assert "Name the run folder with --out" in capsys.readouterr().err


def test_a_wrong_setting_is_refused_before_anything_is_made(data, tmp_path, capsys):
    out = tmp_path / "run"
    arguments = ("--task", "phantom", "--data", data, "--out", out)
    assert _train(*arguments, "--set", "training.epoch=3") == 2
    assert "training.epoch" in capsys.readouterr().err
    assert not out.exists()


def test_label_values_that_the_task_lacks_stop_training(data, tmp_path, capsys):
    path = data / "labelsTr" / "phantom_000.nii.gz"
    image = nibabel.load(path)
    voxels = np.asarray(image.dataobj).copy()
    voxels[0, 0, 0] = 9
    nibabel.save(nibabel.Nifti1Image(voxels, image.affine), path)
    assert _train("--task", "phantom", "--data", data, "--out", tmp_path / "run") == 4
    shown = capsys.readouterr().err
    assert "phantom_000.nii.gz" in shown
    assert "9" in shown


def test_a_fold_is_a_number_or_all(capsys):
    assert _train("--task", "phantom", "--fold", "last") == 2
    assert "there is no fold 'last'. Give a number from 0, or 'all'" in capsys.readouterr().err


@pytest.mark.slow
def test_all_folds_are_trained_and_scored_together(changes, tmp_path, capsys):
    data, out = tmp_path / "data", tmp_path / "all"
    spacing_mm = (2.4, 2.4, 2.5)
    write_dataset(data, cases=2, test_cases=1, seed=3, shape=(20, 20, 16), spacing_mm=spacing_mm)
    given = ("--task", "phantom", "--data", data, "--out", out, "--fold", "all", "--epochs", 1)
    assert _train(*given, *changes) == 0
    shown = capsys.readouterr()
    assert "Fold 1 of 2" in shown.err
    assert "2 models, and the scores of all they held out" in shown.out
    assert json.loads((out / "scores" / "summary.json").read_text())["cases"] == 2
    assert _train("--resume", "--out", out) == 0


def test_the_first_of_several_processes_alone_scores_a_cross_validation(
    monkeypatch, data, tmp_path, capsys
):
    def trained(request, _folder, _listener):
        return cross_validation.Trained(request, (), (), finished=True)

    def scored(*_given):
        raise UsageError("is scored", remedy="Look at who scores")

    monkeypatch.setattr(cross_validation, "begin", trained)
    monkeypatch.setattr(cross_validation, "score", scored)
    monkeypatch.setenv("WORLD_SIZE", "2")
    given = ("--task", "phantom", "--data", data, "--out", tmp_path, "--fold", "all")
    monkeypatch.setenv("RANK", "1")
    assert _train(*given, "--devices", 2) == 0
    monkeypatch.setenv("RANK", "0")
    assert _train(*given, "--devices", 2) == 2
    assert "is scored" in capsys.readouterr().err
