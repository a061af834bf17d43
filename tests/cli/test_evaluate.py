"""`medseg evaluate`."""

import json
import shutil

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
    assert "centre_distance" not in shown
    summary = json.loads((tmp_path / "scores" / "summary.json").read_text())
    assert summary["mean"]["dice"] == 0.75  # (1 + 1) / 2 and (1 + 0) / 2
    assert summary["missed"] == 1
    # the missed part counts as far as the image's diagonal, 8 * sqrt(3) mm, in one of two cases
    assert summary["regions"]["posterior"]["mean"]["hd95_mm"] == pytest.approx(4 * np.sqrt(3))
    assert summary["mean"]["recall"] == 0.75
    assert (tmp_path / "scores" / "scores.csv").read_text().count("\n") == 5
    assert "| posterior | " in (tmp_path / "scores" / "scores.md").read_text()
    # 8 voxels of 1 mm3 were missed in one of two cases
    assert summary["clinical"]["posterior volume"]["mean_error"] == pytest.approx(-0.004)
    assert summary["clinical"]["posterior volume"]["missed"] == 1
    clinical = (tmp_path / "scores" / "clinical.csv").read_text()
    assert "b,posterior volume,mL,0.008,0.0,-0.008,0.008,-100.0" in clinical
    assert not list((tmp_path / "scores").glob("*.png"))


def test_a_missing_prediction_is_an_error(folders, capsys):
    (folders[1] / "b_seg.nii.gz").unlink()
    assert _evaluate(*folders) == 4
    assert "has no prediction for 1 of 2 cases: b" in capsys.readouterr().err


def test_an_unknown_task_is_a_wrong_usage(folders, capsys):
    reference, prediction = map(str, folders)
    arguments = ["--task", "spleen", "--reference", reference, "--prediction", prediction]
    assert run(["evaluate", *arguments]) == 2
    assert "Choose one of acdc, brats, brats_2024, hippocampus, phantom" in capsys.readouterr().err


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
    assert [path.name for path in (tmp_path / "scores").rglob("clinical.csv")] == ["clinical.csv"]
    assert (tmp_path / "scores" / "clinical.csv").is_file()


def test_an_unknown_convention_is_a_wrong_usage(folders, capsys):
    assert _evaluate(*folders, "--convention", "brats") == 2
    assert "Choose one of brats2020, brats2023" in capsys.readouterr().err


def test_pictures_are_drawn_when_asked(folders, tmp_path, capsys):
    (tmp_path / "images").mkdir()
    for case in "ab":
        shutil.copy(folders[0] / f"{case}.nii.gz", tmp_path / f"images/{case}_0000.nii.gz")
    images = ["--images", tmp_path / "images"]
    assert _evaluate(*folders, "--pictures", "-o", tmp_path / "out", *images) == 0
    assert len(list((tmp_path / "out").glob("*.png"))) == 3
    assert _evaluate(*folders, "--pictures") == 2
    assert "Name a folder with -o" in capsys.readouterr().err
    assert _evaluate(*folders, *images, "-o", tmp_path / "out") == 2
    assert "Add --pictures" in capsys.readouterr().err


def test_what_is_asked_for_in_vain_is_told_before_anything_is_scored(
    folders, tmp_path, capsys, monkeypatch
):
    from medseg.evaluation import evaluate

    monkeypatch.setattr(evaluate, "side_by_side", lambda *_, **__: pytest.fail("scored"))
    pictures = ["--pictures", "-o", tmp_path / "out", "--images"]
    assert _evaluate(*folders, *pictures, tmp_path / "nowhere") == 4
    assert "nowhere: there is no such folder" in capsys.readouterr().err
    assert _evaluate(*folders, *pictures, folders[0]) == 4
    assert "holds no scan of a, b" in capsys.readouterr().err
    assert _evaluate(*folders, "--data", tmp_path) == 2
    assert "Leave out --data" in capsys.readouterr().err


def test_scores_are_shown_and_written_though_a_picture_fails(folders, tmp_path, capsys):
    (tmp_path / "images").mkdir()
    other = nibabel.Nifti1Image(np.zeros((3, 3, 3), np.uint8), np.eye(4))
    for case in "ab":
        nibabel.save(other, tmp_path / f"images/{case}.nii.gz")
    more = ["--pictures", "--images", tmp_path / "images", "-o", tmp_path / "out"]
    assert _evaluate(*folders, *more) == 4
    shown = capsys.readouterr()
    assert "lies on another grid than its reference" in shown.err
    assert "0.7500" in shown.out
    assert (tmp_path / "out/scores.csv").is_file()


@pytest.mark.parametrize("name", ["out.png", "scores.csv", "summary.JSON"])
def test_a_folder_that_is_called_as_a_file_is_refused(folders, tmp_path, capsys, name):
    assert _evaluate(*folders, "-o", tmp_path / name) == 2
    shown = capsys.readouterr().err
    assert "would be a folder, but is called as a file is" in shown
    assert not (tmp_path / name).exists()


def test_a_folder_may_have_a_full_stop_in_its_name(folders, tmp_path):
    assert _evaluate(*folders, "-o", tmp_path / "scores_v1.2") == 0
    assert (tmp_path / "scores_v1.2" / "summary.json").is_file()


def test_other_grids_are_resampled_only_when_asked(folders, capsys):
    labels = nibabel.load(folders[0] / "a.nii.gz").get_fdata().astype(np.uint8)
    fine = np.diag([1.0, 1.0, 0.5, 1.0])
    fine[2, 3] = -0.25
    for case in "ab":
        image = nibabel.Nifti1Image(labels.repeat(2, axis=2), fine)
        nibabel.save(image, folders[1] / f"{case}_seg.nii.gz")
    assert _evaluate(*folders) == 4
    shown = capsys.readouterr().err
    assert "2 of 2 cases cannot be scored: a has the shape (8, 8, 16)" in shown
    assert "--resample" in shown
    assert _evaluate(*folders, "--resample") == 0
    assert "1.0000" in capsys.readouterr().out


@pytest.fixture
def hearts(tmp_path):
    """One patient whose left ventricle holds 40 and 10 mL at ED and ES, predicted as 36 and 9."""
    for side, (diastole, systole) in {"reference": (40, 10), "prediction": (36, 9)}.items():
        for frame, voxels in ((1, systole), (9, diastole)):
            labels = np.zeros((10, 10, 2), np.uint8)
            labels.reshape(-1)[:voxels] = 3
            labels[9, :, 1] = 2  # 10 voxels of myocardium
            labels[8, :, 1] = 1
            role = "_gt" if side == "reference" else ""
            (tmp_path / side).mkdir(exist_ok=True)
            image = nibabel.Nifti1Image(labels, np.diag([10.0, 10.0, 10.0, 1.0]))  # 1 mL
            nibabel.save(image, tmp_path / side / f"patient007_frame{frame:02d}{role}.nii.gz")
    info = tmp_path / "acdc/training/patient007/Info.cfg"
    info.parent.mkdir(parents=True)
    info.write_text("ED: 9\nES: 1\nGroup: NOR\nHeight: 180.0\nNbFrame: 30\nWeight: 80.0\n")
    return ["--reference", tmp_path / "reference", "--prediction", tmp_path / "prediction"]


def test_the_function_of_the_heart_is_told_with_its_error(hearts, tmp_path, capsys):
    more = ["--data", tmp_path / "acdc", "-o", tmp_path / "scores"]
    assert run(["evaluate", "--task", "acdc", *map(str, [*hearts, *more])]) == 0
    assert "LV EF" in capsys.readouterr().out
    found = json.loads((tmp_path / "scores" / "summary.json").read_text())["clinical"]
    assert found["LV EDV"]["mean_reference"] == pytest.approx(40.0)
    assert found["LV EDV"]["mean_error"] == pytest.approx(-4.0)
    assert found["LV SV index"]["mean_reference"] == pytest.approx(15.0)  # 30 mL by 2 m2
    assert found["LV EF"]["mean_reference"] == pytest.approx(75.0)
    assert found["LV EF"]["mean_error"] == pytest.approx(0.0)
    assert found["LV mass"]["mean_prediction"] == pytest.approx(10.5)
    assert found["RV EF"]["mean_reference"] == pytest.approx(0.0)


def test_a_folder_of_data_that_is_not_there_is_told(hearts, tmp_path, capsys):
    more = ["--data", tmp_path / "nowhere"]
    assert run(["evaluate", "--task", "acdc", *map(str, [*hearts, *more])]) == 4
    assert "nowhere: there is no such folder" in capsys.readouterr().err


def test_without_the_data_set_the_rest_is_scored_and_it_is_said(hearts, capsys):
    assert run(["evaluate", "--task", "acdc", *map(str, hearts)]) == 0
    shown = capsys.readouterr().out
    assert "left_ventricle volume" in shown
    assert "Left out: cardiac_function" in shown
    assert "--data" in shown


def test_brats_is_scored_by_its_variants_side_by_side(tmp_path, capsys):
    labels = np.zeros((20, 12, 12), np.uint8)
    labels[2:6, 2:6, 2:6] = 4
    labels[6, 2:6, 2:6] = 1
    labels[7, 2:6, 2:6] = 2
    for side in ("reference", "prediction"):
        (tmp_path / side).mkdir()
        nibabel.save(nibabel.Nifti1Image(labels, np.eye(4)), tmp_path / side / "case_seg.nii.gz")
    folders = ["--reference", tmp_path / "reference", "--prediction", tmp_path / "prediction"]
    names = ["medseg", "brats2020", "brats2023", "brats2023_men", "brats2023_met"]
    more = [part for name in names for part in ("--convention", name)]
    arguments = map(str, [*folders, *more, "-o", tmp_path / "scores"])
    assert run(["evaluate", "--task", "brats", *arguments]) == 0
    for name in names:
        summary = json.loads((tmp_path / "scores" / name / "summary.json").read_text())
        assert summary["mean"]["dice"] == 1.0
        assert summary["clinical"]["whole_tumour volume"]["mean_reference"] == pytest.approx(0.096)
        assert summary["clinical"]["tumour_core volume"]["mean_reference"] == pytest.approx(0.08)
        assert summary["clinical"]["enhancing_tumour volume"]["mean_prediction"] == 0.064
    assert "brats2023_met convention" in capsys.readouterr().out
