"""What the tests share: random numbers, tasks, real data."""

import os
from pathlib import Path

import hypothesis
import numpy as np
import pytest

from medseg import task as tasks
from medseg.task import Task

# The same examples in every run, however slow the machine is.
hypothesis.settings.register_profile("medseg", deadline=None, derandomize=True)
hypothesis.settings.load_profile("medseg")


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
