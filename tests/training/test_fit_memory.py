"""A run whose memory runs out goes on with less, and keeps what it came to."""

import pytest
import torch

from medseg import bundle as bundles
from medseg import memory, networks, registry
from medseg.errors import UsageError
from medseg.training.fit import fit, resume
from medseg.training.run_folder import RunFolder, read_metrics


class PreparedError(Exception):
    """Cases would be prepared now."""


class Listener:
    """Notes what it is told of memory; a hasty one stops before cases are prepared."""

    def __init__(self, *, hasty=False):
        self.hasty = hasty
        self.concerns = []
        self.smaller = []

    def _heard(self, *_):
        pass

    on_case = on_survey = on_init = on_interrupt = on_step = _heard

    def on_plan(self, plan, _split):
        self.plan = plan
        if self.hasty:
            raise PreparedError

    def on_concern(self, said):
        self.concerns.append(said)

    def on_smaller(self, said):
        self.smaller.append(said)


@pytest.fixture
def folder(tmp_path):
    return RunFolder(tmp_path / "run")


def test_a_run_that_begins_anew_keeps_the_plan_it_came_to(make_request, folder):
    with pytest.raises(PreparedError):
        fit(make_request(), folder, Listener(hasty=True))
    text = folder.plan.read_text()
    assert "patch: [16, 16, 16]" in text
    folder.plan.write_text(text.replace("patch: [16, 16, 16]", "patch: [16, 16, 8]"))
    listener = Listener(hasty=True)
    with pytest.raises(PreparedError):
        resume(folder, listener)
    assert listener.plan.patch == (16, 16, 8)
    assert "[16, 16, 8]" in folder.plan.read_text()


def test_what_a_plan_raises_concerns_about_is_told(make_request, folder, monkeypatch):
    monkeypatch.setattr(memory, "total_bytes", lambda: 1000)
    listener = Listener(hasty=True)
    with pytest.raises(PreparedError):
        fit(make_request(), folder, listener)
    assert len(listener.concerns) == 1
    assert "memory may run out" in listener.concerns[0]


@pytest.fixture
def little_memory(monkeypatch):
    """Runs out of memory on patches of more voxels in all than are allowed."""

    class Device:
        voxels = 0
        error = torch.OutOfMemoryError("there is no more")

    forward = registry.load(networks, "swin_unetr").Network.forward

    def limited(self, image):
        on_device = image.device.type != "meta"
        if on_device and torch.is_grad_enabled() and image.numel() > Device.voxels:
            raise Device.error
        return forward(self, image)

    monkeypatch.setattr(registry.load(networks, "swin_unetr").Network, "forward", limited)
    return Device


@pytest.mark.slow
def test_when_memory_runs_out_training_goes_on_with_less(make_request, folder, little_memory):
    little_memory.voxels = 2 * 2 * 16**3
    listener = Listener()
    outcome = fit(make_request("training.batch=4"), folder, listener)
    assert outcome.finished
    assert listener.smaller == ["a batch of 2"]
    assert bundles.read(folder.path).plan.batch == 2
    assert [row["step"] for row in read_metrics(folder.metrics)] == [2, 4, 6]


@pytest.mark.slow
def test_when_nothing_smaller_is_left_it_says_what_to_choose(make_request, folder, little_memory):
    listener = Listener()
    little_memory.error = RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling it")
    with pytest.raises(UsageError, match="memory of the device does not suffice") as told:
        fit(make_request("training.batch=1"), folder, listener)
    assert listener.smaller == ["inner values computed twice"]
    assert "--set training.batch=1" in str(told.value)
    assert little_memory.voxels == 0
