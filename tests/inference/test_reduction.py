import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from medseg.bundle import Bundle
from medseg.inference import predict
from medseg.inference.reduction import Reducing, smaller
from medseg.recipe import Inference
from medseg.volume import Grid, Volume


class Hungry(nn.Module):
    """Looks at each voxel alone, and runs out of memory above a number of voxels."""

    def __init__(self, most, error=torch.OutOfMemoryError):
        super().__init__()
        self.level = nn.Parameter(torch.tensor(0.0))
        self.most, self.error, self.asked = most, error, []

    def forward(self, patches):
        self.asked.append((len(patches), *patches.shape[2:]))
        if math.prod(self.asked[-1]) > self.most:
            raise self.error("DefaultCPUAllocator: can't allocate memory: you tried 9 bytes")
        bright = patches - self.level
        return torch.cat([-bright, bright, torch.full_like(bright, -99)], dim=1)


@pytest.fixture
def predictor_of(tmp_path, hippocampus_task, make_plan):
    plan = make_plan(patch=(64, 40, 32), inference=Inference(batch=4))
    bundle = Bundle(tmp_path, hippocampus_task, plan)
    return lambda network: predict.Predictor(bundle, network.eval(), torch.device("cpu"))


@pytest.fixture
def scan(rng):
    voxels = rng.normal(100, 20, size=(1, 90, 50, 40)).astype(np.float32)
    return Volume(voxels, Grid((90, 50, 40), np.eye(4)))


@pytest.mark.parametrize("error", [torch.OutOfMemoryError, RuntimeError])
def test_a_smaller_batch_then_a_smaller_tile_give_the_same_and_are_told_once(
    predictor_of, scan, error
):
    expected = predict.predict(predictor_of(Hungry(10**9)), scan).label_map
    network, told = Hungry(32 * 40 * 32, error), []
    reducing = Reducing(predictor_of(network), told.append)
    for _ in range(2):
        found = reducing.run(lambda less: predict.predict(less, scan))
        assert np.array_equal(found.label_map, expected)
    assert [text.partition("tiles of ")[2] for text in told] == [
        "64x40x32, 2 at once",
        "64x40x32, 1 at once",
        "32x40x32, 1 at once",
    ]
    assert reducing.predictor.bundle.plan.patch == (32, 40, 32)
    failed = [asked for asked in network.asked if math.prod(asked) > network.most]
    assert failed == [(4, 64, 40, 32), (2, 64, 40, 32), (1, 64, 40, 32)]


def test_the_processor_comes_last_and_takes_the_network_along(predictor_of):
    class Moved(Hungry):
        def to(self, device):
            self.device = device
            return self

    told, network = [], Moved(0)
    on_gpu = replace(predictor_of(network), device=torch.device("cuda"))
    reducing = Reducing(on_gpu, told.append)

    def act(less):
        if less.device.type == "cuda":
            raise torch.OutOfMemoryError("CUDA out of memory")
        return "done"

    assert reducing.run(act) == "done"
    assert network.device == "cpu"
    assert told[-1] == "The GPU's memory ran out; going on with the processor, which takes longer"
    assert reducing.predictor.bundle.plan.patch == (64, 40, 32)  # the whole tile again


def test_what_fits_nowhere_is_a_lack_of_memory_and_other_errors_are_their_own(predictor_of, scan):
    told = []
    with pytest.raises(MemoryError, match="you tried 9 bytes"):
        Reducing(predictor_of(Hungry(0)), told.append).run(lambda p: predict.predict(p, scan))
    assert len(told) == 4
    with pytest.raises(RuntimeError, match="of its own"):
        Reducing(predictor_of(Hungry(0)), told.append).run(_fail)
    assert len(told) == 4


def _fail(_predictor):
    raise RuntimeError("of its own")


@pytest.mark.parametrize(
    ("patch", "halved"),
    [((96, 96, 96), (64, 96, 96)), ((32, 160, 64), (32, 96, 64)), ((40, 16, 8), (32, 16, 8))],
)
def test_the_longest_side_of_a_tile_is_halved_to_a_multiple_of_32(
    tmp_path, hippocampus_task, make_plan, patch, halved
):
    bundle = Bundle(tmp_path, hippocampus_task, make_plan(patch=patch))
    less = smaller(predict.Predictor(bundle, Hungry(0), torch.device("cpu")))
    assert less.bundle.plan.patch == halved
    assert less.bundle.plan.inference.batch == 1
