"""What TensorBoard shows."""

import pytest

from medseg.training import board
from medseg.training.board import Board


@pytest.mark.filterwarnings("ignore")  # of TensorBoard's own dependencies
def test_a_row_is_read_back_by_tensorboard_and_a_resumed_run_hides_what_a_crash_left(tmp_path):
    event_accumulator = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator"
    )
    whole = Board(tmp_path, first=1)
    whole.write(10, {"loss": 0.5, "dice_mean": 0.25})
    whole.write(20, {"loss": 9.0, "dice_mean": 0.0})
    whole.close()
    resumed = Board(tmp_path, first=11)
    resumed.write(20, {"loss": 0.125, "dice_mean": 0.75})
    resumed.close()
    found = event_accumulator.EventAccumulator(str(tmp_path)).Reload()
    assert [(one.step, one.value) for one in found.Scalars("loss")] == [(10, 0.5), (20, 0.125)]
    assert [one.value for one in found.Scalars("dice_mean")] == [0.25, 0.75]


def test_without_tensorboard_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr(board, "find_spec", lambda _: None)
    writer = Board(tmp_path / "tensorboard", first=1)
    writer.write(1, {"loss": 0.5})
    writer.close()
    assert not (tmp_path / "tensorboard").exists()
