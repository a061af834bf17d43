"""A small data set and a small run."""

import numpy as np
import pytest

from medseg import task as tasks
from medseg.training.run_folder import Request


@pytest.fixture(scope="session")
def phantom_folder(tmp_path_factory):
    """A phantom data set of six cases, 20x20x16 voxels of 2.4 mm."""
    from medseg.data.phantom import write_dataset

    folder = tmp_path_factory.mktemp("phäntom data")
    write_dataset(
        folder, cases=6, test_cases=1, seed=3, shape=(20, 20, 16), spacing_mm=(2.4, 2.4, 2.5)
    )
    return folder


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """Keep the list of models out of the user's home."""
    monkeypatch.setenv("MEDSEG_HOME", str(tmp_path / "home"))


@pytest.fixture
def ct_task():
    """One CT channel and one label."""
    return tasks.parse(
        """
        name: liver
        title: Liver
        layout: decathlon
        channels: {ct: ct}
        labels: {liver: {value: 1, colour: "#dd8265", code: SCT^10200004^Liver}}
        """,
        where="test",
    )


@pytest.fixture
def generator():
    return np.random.default_rng(5)


@pytest.fixture(scope="session")
def make_request(phantom_folder, small_settings):
    """Return a function that asks for a small run on the phantom data."""

    def make(*settings, epochs=3, max_seconds=None, data=phantom_folder):
        return Request(
            task="phantom",
            data=str(data),
            network=None,
            fold=0,
            epochs=epochs,
            max_seconds=max_seconds,
            device="cpu",
            settings=(*small_settings, *settings),
        )

    return make
