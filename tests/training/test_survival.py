"""A run outlives a kill at any moment and a full disk."""

import errno
import multiprocessing
import signal
import time

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from medseg.errors import OutputError
from medseg.training.fit import fit, resume
from medseg.training.run_folder import RunFolder, read_metrics

pytestmark = pytest.mark.slow


class Listener:
    """Listens to nothing, and presses Ctrl-C after a step if asked to."""

    def __init__(self, stop_after=None):
        self.stop_after = stop_after

    def on_step(self, report):
        if report.step == self.stop_after:
            signal.raise_signal(signal.SIGINT)

    def _heard(self, *_told):
        pass

    on_case = on_survey = on_plan = on_concern = on_init = on_smaller = on_interrupt = _heard


def _weights(folder):
    return load_file(folder.bundle / "weights.safetensors")


def _same(one, two):
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


@pytest.fixture
def folder(tmp_path):
    return RunFolder(tmp_path / "run with spaces")


def _go_on(request, path):
    """Begin or go on with a run; called in a process that will be killed."""
    folder = RunFolder(path)
    if folder.request.exists():
        resume(folder, Listener())
    else:
        fit(request, folder, Listener())


def test_what_a_kill_left_of_a_checkpoint_is_removed(make_request, folder):
    fit(make_request(), folder, Listener(stop_after=2))
    half = folder.path / ".0a1b2c3d.partial-last.ckpt"
    half.write_bytes(b"half")
    assert resume(folder, Listener()).finished
    assert not half.exists()


def test_a_run_killed_ten_times_ends_as_if_it_had_never_been(make_request, folder, tmp_path):
    # Checkpoints after every step, so that every life gets somewhere.
    request = make_request("training.steps_per_epoch=1", "training.epochs=24", epochs=None)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["medseg.training.fit"])
    undisturbed = RunFolder(tmp_path / "undisturbed")
    whole = context.Process(target=_go_on, args=(request, undisturbed.path))
    began = time.monotonic()
    whole.start()
    whole.join()
    seconds = time.monotonic() - began
    assert whole.exitcode == 0
    random = np.random.default_rng(0)
    for _ in range(10):
        life = context.Process(target=_go_on, args=(request, folder.path))
        life.start()
        life.join(timeout=seconds * random.uniform(0.02, 0.15))
        life.kill()
        life.join()
        assert life.exitcode == -signal.SIGKILL, "it ended before it was killed"
    _go_on(request, folder.path)
    assert _same(_weights(folder), _weights(undisturbed))
    steps = [row["step"] for row in read_metrics(folder.metrics)]
    assert steps == list(range(1, 25))
    rows = [
        [{k: v for k, v in row.items() if k != "seconds"} for row in read_metrics(f.metrics)]
        for f in (folder, undisturbed)
    ]
    assert rows[0] == rows[1]
    assert not list(folder.path.glob(".????????.partial-*"))


def test_a_full_disk_is_said_and_the_last_good_checkpoint_survives(
    make_request, folder, monkeypatch
):
    fit(make_request(), folder, Listener(stop_after=2))
    good = folder.checkpoint.read_bytes()
    save = torch.save

    def full(what, file, *args, **kwargs):
        save(what, file, *args, **kwargs)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OutputError, match=r"last\.ckpt: cannot be written: no space left") as told:
        resume(folder, Listener())
    assert "Free some space" in str(told.value)
    assert folder.checkpoint.read_bytes() == good
    monkeypatch.undo()
    monkeypatch.setenv("MEDSEG_HOME", str(folder.path.parent / "home"))
    assert resume(folder, Listener()).finished
