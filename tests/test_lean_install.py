"""What runs where some packages are not installed."""

import os
import subprocess
import sys

import numpy as np
import pytest

LEAN = """
import sys
for name in sys.argv[1].split(","):
    sys.modules[name] = None  # an import of it now fails as if it were not installed
from medseg.__main__ import run
sys.exit(run(sys.argv[2:]))
"""

READERS = "SimpleITK,itk,nnunetv2,dynamic_network_architectures"
FRAMEWORKS = "torch,torchmetrics,torchvision,lightning,pytorch_lightning,monai"


def _medseg(*arguments, home, without=READERS):
    command = [sys.executable, "-c", LEAN, without, *map(str, arguments)]
    environment = {**os.environ, "MEDSEG_HOME": str(home)}
    return subprocess.run(command, capture_output=True, text=True, env=environment)


@pytest.mark.slow
def test_the_line_from_training_to_scores_runs(tmp_path, small_settings):
    data, run, out = tmp_path / "data", tmp_path / "run", tmp_path / "out"
    changes = [part for setting in small_settings for part in ("--set", setting)]
    for command in (
        ("phantom", data, "--cases", 5, "--test-cases", 1),
        ("train", "--task", "phantom", "--data", data, "--out", run, "--epochs", 1, *changes),
        ("predict", data / "imagesTs", "--model", run, "-o", out),
        ("evaluate", "--task", "phantom", "--reference", data / "labelsTs", "--prediction", out),
    ):
        answer = _medseg(*command, home=tmp_path / "home")
        assert answer.returncode == 0, answer.stderr


def test_scores_clinical_numbers_and_pictures_need_no_torch(tmp_path, put):
    labels = np.zeros((9, 8, 7), dtype=np.uint8)
    labels[2:5, 2:5, 2:5] = 4
    for side in ("reference", "prediction"):
        put(tmp_path / side / "case.nii.gz", labels)
    folders = ("--reference", tmp_path / "reference", "--prediction", tmp_path / "prediction")
    answer = _medseg(
        *("evaluate", "--task", "brats", *folders, "-o", tmp_path / "scores", "--pictures"),
        home=tmp_path,
        without=f"{READERS},{FRAMEWORKS}",
    )
    assert answer.returncode == 0, answer.stderr
    assert len(list((tmp_path / "scores").iterdir())) == 7


@pytest.mark.slow
def test_what_is_missing_is_named(tmp_path, untrained):
    scan = tmp_path / "scan.nrrd"
    scan.write_bytes(b"NRRD0004\n")
    answer = _medseg("predict", scan, "--model", untrained.folder, home=tmp_path)
    assert answer.returncode == 3
    assert "pip install SimpleITK" in answer.stderr
