"""What happens between steps; the run as a whole is tested with `fit`."""

import signal

import pytest

from medseg.training.callbacks import Overseer, StoppedAtOnceError
from medseg.training.run_folder import RunFolder


@pytest.fixture
def make_overseer(tmp_path):
    def made():
        return Overseer(
            RunFolder(tmp_path),
            [],
            on_step=lambda _: None,
            on_interrupt=lambda: None,
            on_best=lambda _: None,
        )

    return made


@pytest.fixture
def overseer(make_overseer):
    return make_overseer()


def test_the_second_ctrl_c_stops_at_once(overseer):
    before = signal.signal(signal.SIGINT, overseer.interrupt)
    try:
        signal.raise_signal(signal.SIGINT)
        assert overseer.interrupted
        with pytest.raises(StoppedAtOnceError):
            signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)


def test_what_was_noted_since_the_last_epoch_survives_a_resume(make_overseer):
    noted = {"losses": [0.5, 0.25], "dice": 0.75, "best": {"dice": 0.8, "epochs_since": 3}}
    one, other = make_overseer(), make_overseer()
    one.load_state_dict(noted)
    other.load_state_dict(one.state_dict())
    assert other.state_dict() == noted


def test_the_state_of_an_older_version_has_no_best(overseer):
    overseer.load_state_dict({"losses": [], "dice": 0.75})
    assert overseer.best.dice == float("-inf")
