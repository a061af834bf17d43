"""Real scans: multiple sclerosis as a task of its own, CT with organ labels mapped to Synapse's."""

import json

import nibabel
import numpy as np
import pytest

from medseg import task as tasks
from medseg.__main__ import run

pytestmark = [pytest.mark.real_data, pytest.mark.slow, pytest.mark.usefixtures("home")]

# TotalSegmentator's values by the names that Synapse's organs have here.
TOTALSEGMENTATOR = {
    **{"1": "spleen", "2": "right_kidney", "3": "left_kidney", "4": "gallbladder", "5": "liver"},
    **{"6": "stomach", "7": "pancreas", "52": "aorta", "others": "background"},
}


@pytest.fixture
def line(tmp_path, small_settings):
    """Runs check, train, predict and evaluate; returns check.json and the summary of the scores."""

    def done(data, task):
        changes = [part for setting in small_settings for part in ("--set", setting)]
        out, predicted = str(tmp_path / "run"), str(tmp_path / "predicted")
        checked, scores = tmp_path / "check", tmp_path / "scores"
        assert run(["check", str(data), "--task", task, "-o", str(checked)]) == 0
        settings = ["--epochs", "1", "--device", "cpu", "--set", "inference.overlap=0", *changes]
        assert run(["train", "--task", task, "--data", str(data), "--out", out, *settings]) == 0
        assert run(["predict", "--held-out", out, "-o", predicted]) == 0
        arguments = ["--held-out", out, "--prediction", predicted, "-o", str(scores)]
        assert run(["evaluate", *arguments]) == 0
        documents = (checked / "check.json", scores / "summary.json")
        return [json.loads(path.read_text()) for path in documents]

    return done


def test_ms_lesions_are_a_task_of_their_own(real_data, line, tmp_path):
    # every other voxel, to be quick
    for source in sorted((real_data / "ms_lesions").glob("*/*.nii.gz")):
        target = tmp_path / "ms" / source.parent.name / source.name
        target.parent.mkdir(parents=True, exist_ok=True)
        image = nibabel.load(source)
        nibabel.save(image.slicer[::3, ::3, ::3], target)
    command = ["tasks", "new", str(tmp_path / "ms"), "--name", "ms_lesions", "-o", str(tmp_path)]
    assert run(command) == 0
    path = tmp_path / "ms_lesions.yaml"
    task = tasks.read(path)
    assert set(task.channels) == {"flair", "t1", "t1post", "t2"}
    assert list(task.labels) == ["label_1"]
    text = path.read_text(encoding="utf-8").replace("label_1:", "lesion:")
    path.write_text(text.replace("spacing_mm", "# spacing_mm"), encoding="utf-8")
    checked, scored = line(tmp_path / "ms", str(path))
    assert set(checked["cases"]) == {"patient07", "patient19", "patient26"}
    assert checked["cases"]["patient19"]["volumes_ml"]["lesion"] > 30
    assert scored["cases"] == 1


def test_ms_lesions_at_full_size_are_sound(real_data, tmp_path):
    assert run(["check", str(real_data / "ms_lesions"), "-o", str(tmp_path)]) == 0
    document = json.loads((tmp_path / "check.json").read_text())
    values = [case["file_values"]["1"] for case in document["cases"].values()]
    assert values == [1300, 49769, 8227]  # as the publication's readme counts them


def test_ct_with_organ_labels_is_mapped_to_synapse(real_data, line, tmp_path):
    folder = real_data / "readers" / "ct_organs"
    scans = {
        "whole": ("example_ct.nii.gz", "example_seg_fast_force_split.nii.gz"),
        "part": ("example_ct_sm.nii.gz", "example_seg.nii.gz"),
    }
    rows = [f"{name},{folder / ct},{folder / label}" for name, (ct, label) in scans.items()]
    data = tmp_path / "organs"
    data.mkdir()
    (data / "cases.csv").write_text("\n".join(["case,ct,label", *rows]) + "\n")
    (data / "labels.json").write_text(json.dumps(TOTALSEGMENTATOR))
    checked, scored = line(data, "synapse")
    assert checked["label_values"]["liver"] == 5
    counted = nibabel.load(folder / "example_seg.nii.gz")
    liver_ml = np.count_nonzero(np.asarray(counted.dataobj) == 5) * 27 / 1000
    assert checked["cases"]["part"]["volumes_ml"]["liver"] == pytest.approx(liver_ml)
    assert scored["cases"] == 1


def test_published_hippocampi_are_sound(real_data, tmp_path):
    data = real_data / "hippocampus"
    assert run(["check", str(data), "-o", str(tmp_path)]) == 0
    document = json.loads((tmp_path / "check.json").read_text())
    assert document["task"] == "hippocampus"
    assert len(document["cases"]) == 208
