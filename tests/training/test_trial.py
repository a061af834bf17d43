"""Several processes try a step before they begin."""

import pytest
import torch
from torch import nn

from medseg.training import processes, trial
from medseg.training.module import SegmentationModule
from medseg.training.schedule import Progress

CPU = torch.device("cpu")


class Counting(nn.Module):
    """Notes how many images it was given."""

    def __init__(self, most):
        super().__init__()
        self.most = most
        self.head = nn.Conv3d(2, 3, 1)
        self.norm = nn.BatchNorm3d(3)
        self.seen = []

    def forward(self, image):
        self.seen.append(tuple(image.shape))
        if len(image) > self.most:
            raise torch.OutOfMemoryError("there is no more")
        return self.norm(self.head(image))


@pytest.fixture
def make_module(make_plan):
    from medseg import task as tasks

    def made(most, batch):
        plan = make_plan(batch=batch)
        return SegmentationModule(Counting(most), tasks.read("phantom"), plan, Progress(1, None))

    return made


def test_a_process_that_is_alone_tries_nothing(make_module):
    module = make_module(most=0, batch=4)
    assert trial.fits(module, CPU)
    assert module.network.seen == []


@pytest.mark.parametrize(("others_failed", "most"), [(0.0, 2), (0.5, 2), (0.0, 1)])
def test_a_share_of_the_batch_is_tried_and_all_must_have_room(
    make_module, monkeypatch, others_failed, most
):
    module = make_module(most=most, batch=4)
    before = {name: value.clone() for name, value in module.network.state_dict().items()}
    monkeypatch.setattr(processes, "count", lambda: 2)
    monkeypatch.setattr(processes, "mean", lambda own, _: own / 2 + others_failed)
    assert trial.fits(module, CPU) == (others_failed == 0 and most >= 2)
    assert module.network.seen == [(2, 2, 8, 8, 8)]
    for name, value in module.network.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert all(weight.grad is None for weight in module.network.parameters())
