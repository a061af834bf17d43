"""What the tests share: random numbers, tasks, real data."""

import os
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest

from medseg import recipe as recipes
from medseg import task as tasks
from medseg.recipe import Plan
from medseg.task import Task


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20240229)


@pytest.fixture(scope="session")
def phantom_task() -> Task:
    """Three labels in three nested regions."""
    return tasks.read("phantom")


@pytest.fixture(scope="session")
def hippocampus_task() -> Task:
    """Two labels, each a region of its own."""
    return tasks.read("hippocampus")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real scans; tests that need it are skipped without."""
    folder = os.environ.get("MEDSEG_TEST_DATA")
    if not folder:
        pytest.skip("MEDSEG_TEST_DATA does not name a folder of real scans")
    return Path(folder)


@pytest.fixture(scope="session")
def make_plan() -> Callable[..., Plan]:
    """Plans for small images; any field can be given."""

    def made(**changes: object) -> Plan:
        fields = {
            "network": {"name": "swin_unetr", "options": {"features": 12}},
            "patch": (8, 8, 8),
            "spacing_mm": (1.0, 1.0, 1.0),
            "batch": 2,
            "steps_per_epoch": 25,
            "precision": "float32",
            "training": recipes.Training(),
            "inference": recipes.Inference(),
        }
        return Plan.model_validate(fields | changes)

    return made


@pytest.fixture(scope="session")
def put() -> Callable[..., Path]:
    """Writes a NIfTI file and returns its path; voxels of 1 mm unless an affine is given."""

    def written(path: Path, voxels: np.ndarray, affine: np.ndarray | None = None) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        image = nibabel.Nifti1Image(voxels, np.eye(4) if affine is None else affine)
        image.to_filename(path)
        return path

    return written
