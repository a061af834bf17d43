"""What happens between steps; the run as a whole is tested with `fit`."""

import signal

import pytest

from medseg.training.callbacks import Overseer, StoppedAtOnceError
from medseg.training.run_folder import RunFolder


@pytest.fixture
def overseer(tmp_path):
    return Overseer(RunFolder(tmp_path), [], on_step=lambda _: None, on_interrupt=lambda: None)


def test_the_second_ctrl_c_stops_at_once(overseer):
    before = signal.signal(signal.SIGINT, overseer.interrupt)
    try:
        signal.raise_signal(signal.SIGINT)
        assert overseer.interrupted
        with pytest.raises(StoppedAtOnceError):
            signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)


def test_what_was_noted_since_the_last_epoch_survives_a_resume(overseer, tmp_path):
    overseer.load_state_dict({"losses": [0.5, 0.25], "dice": 0.75})
    other = Overseer(RunFolder(tmp_path), [], on_step=lambda _: None, on_interrupt=lambda: None)
    other.load_state_dict(overseer.state_dict())
    assert other.state_dict() == {"losses": [0.5, 0.25], "dice": 0.75}
