import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from medseg.bundle import Bundle
from medseg.inference import predict, reduction
from medseg.inference.options import Options
from medseg.inference.precision import Precision
from medseg.inference.reduction import DeviceTooSmallError, Reducing, smaller
from medseg.inference.settling import Settling
from medseg.inference.sliding_window import patch_starts
from medseg.recipe import Inference
from medseg.volume import Grid, Volume

OUT = "DefaultCPUAllocator: can't allocate memory: you tried 9 bytes"
REACH = 2
"""Voxels around a voxel that the network sees."""


class Hungry(nn.Module):
    """Looks at the surroundings of a voxel, and runs out of memory above a number of voxels."""

    def __init__(self, most, error=torch.OutOfMemoryError):
        super().__init__()
        torch.manual_seed(3)
        layers = [nn.Conv3d(1, 4, 3, padding=1), nn.Tanh(), nn.Conv3d(4, 3, 3, padding=1)]
        self.layers = nn.Sequential(*layers).requires_grad_(requires_grad=False)
        self.most, self.error, self.asked = most, error, []

    def forward(self, patches):
        self.asked.append((len(patches), *patches.shape[2:]))
        if math.prod(self.asked[-1]) > self.most:
            raise self.error(OUT)
        return self.layers(patches)


@pytest.fixture
def bundle(tmp_path, hippocampus_task, make_plan):
    plan = make_plan(patch=(64, 24, 24), inference=Inference(batch=4))
    return Bundle(tmp_path, hippocampus_task, plan)


@pytest.fixture
def predictor_of(bundle):
    return lambda network: predict.Predictor(bundle, network.eval(), torch.device("cpu"))


@pytest.fixture
def scan(rng):
    voxels = rng.normal(100, 20, size=(1, 90, 40, 30)).astype(np.float32)
    return Volume(voxels, Grid((90, 40, 30), np.eye(4)))


def logits(predictor, scan):
    axis, pieces = predict.logit_pieces(predictor, predict.make_ready(predictor, scan))
    return np.concatenate([piece.copy() for piece in pieces], axis=1 + axis)


@pytest.mark.parametrize("error", [torch.OutOfMemoryError, RuntimeError])
def test_a_smaller_batch_gives_the_same_to_a_network_that_sees_around(predictor_of, scan, error):
    expected = logits(predictor_of(Hungry(10**9)), scan)
    network, told = Hungry(64 * 24 * 24, error), []
    reducing = Reducing(predictor_of(network), told.append)
    for _ in range(2):
        found = reducing.run(lambda less: logits(less, scan))
        np.testing.assert_allclose(found, expected, atol=1e-6)
        np.testing.assert_array_equal(found.argmax(0), expected.argmax(0))
    assert [text.partition("tiles of ")[2] for text in told] == [
        "64x24x24, 2 at once",
        "64x24x24, 1 at once",
    ]
    assert {count for count, *_ in network.asked[2:]} == {1}


def test_a_smaller_tile_gives_what_it_gives_from_the_beginning(predictor_of, bundle, scan):
    network, told = Hungry(32 * 24 * 24), []
    reducing = Reducing(predictor_of(network), told.append)
    found = reducing.run(lambda less: logits(less, scan))
    assert told[-1].endswith("tiles of 32x24x24, 1 at once")
    changed = {"patch": (32, 24, 24), "inference": Inference(batch=1)}
    small = replace(bundle, plan=bundle.plan.model_copy(update=changed))
    begun = predict.Predictor(small, Hungry(10**9).eval(), torch.device("cpu"))
    np.testing.assert_array_equal(found, logits(begun, scan))
    assert reducing.predictor.bundle.plan.patch == (32, 24, 24)
    failed = [asked for asked in network.asked if math.prod(asked) > network.most]
    assert failed == [(4, 64, 24, 24), (2, 64, 24, 24), (1, 64, 24, 24)]
    reducing.run(lambda less: logits(less, scan))
    assert len(told) == 3  # what fitted holds for the next scan


def near_borders(extent, patch):
    """Mark the voxels of an image from which the network sees past a tile that holds them."""
    near = np.zeros(extent, bool)
    for start in itertools.product(*patch_starts(extent, patch, 0.5)):
        for axis in range(3):
            for face in (start[axis], start[axis] + patch[axis]):
                if 0 < face < extent[axis]:
                    place = [slice(a, a + n) for a, n in zip(start, patch, strict=True)]
                    place[axis] = slice(face - REACH, face + REACH)
                    near[tuple(place)] = True
    return near


def test_a_smaller_tile_changes_only_what_sees_past_its_borders(predictor_of, scan):
    whole = logits(predictor_of(Hungry(10**9)), scan)
    found = Reducing(predictor_of(Hungry(32 * 24 * 24)), [].append).run(
        lambda less: logits(less, scan)
    )
    extent = scan.grid.shape
    near = near_borders(extent, (64, 24, 24)) | near_borders(extent, (32, 24, 24))
    assert 0.1 < near.mean() < 0.8
    np.testing.assert_allclose(found[:, ~near], whole[:, ~near], atol=1e-5)
    assert np.abs(found - whole).max() > 1e-3


def test_the_processor_takes_one_scan_with_a_network_of_its_own_that_is_kept(bundle, monkeypatch):
    class Unmovable(Hungry):
        def to(self, *_):
            raise AssertionError("other threads use it")

    read = []
    monkeypatch.setattr(Bundle, "build_network", lambda _: read.append(1) or Hungry(9).eval())
    shared, told, seen = Unmovable(9).eval(), [], []
    on_gpu = predict.Predictor(bundle, shared, torch.device("cuda"), Options("float32"))
    reducing = Reducing(on_gpu, told.append)

    def act(large):
        def run(less):
            seen.append(
                (less.device.type, less.bundle.plan.patch, less.bundle.plan.inference.batch)
            )
            if large and less.device.type == "cuda":
                raise torch.OutOfMemoryError("CUDA out of memory")
            return less

        return run

    first = reducing.run(act(large=True))
    assert (first.device.type, first.bundle.plan.patch) == ("cpu", (64, 24, 24))  # the whole tile
    assert first.network is not shared
    begins = len(seen)
    assert reducing.run(act(large=False)) is on_gpu  # the next scan begins as the first did
    assert reducing.run(act(large=True)) is first
    assert seen[begins] == seen[begins + 1] == ("cuda", (64, 24, 24), 4)
    assert len(read) == 1
    assert told[-1] == "The GPU's memory ran out; going on with the processor, which takes longer"
    assert len(told) == len(set(told)) == 4


def test_what_the_gpu_cannot_hold_goes_to_the_processor_and_both_compute_alike(bundle, monkeypatch):
    def load_on(_, device, *__, others):
        network = Settling(Hungry(9), lower, exclusive=True, is_settled=False)
        return predict.Predictor(bundle, network, device, others=others)

    lower = Precision(torch.bfloat16, "it has it")
    monkeypatch.setattr(reduction, "load", load_on)
    on_gpu = load_on(bundle, torch.device("cuda"), others=())
    told, seen = [], []
    reducing = Reducing(on_gpu, told.append)

    def act(less):
        seen.append((less.device.type, less.settled))
        if less.device.type == "cuda":
            raise DeviceTooSmallError("1 GB of the GPU's memory")
        less.settle_as({0: Precision(torch.float32, "as they say")})
        return less

    reducing.run(act)
    reducing.run(act)
    assert [device for device, _ in seen] == ["cuda", "cpu"] * 2
    assert [len(settled) for _, settled in seen] == [0, 0, 1, 1]
    assert seen[2][1] == seen[3][1] == {0: Precision(torch.float32, "as they say")}
    assert len(told) == 1


def test_what_fits_nowhere_is_a_lack_of_memory_and_other_errors_are_their_own(predictor_of, scan):
    told, predictor = [], predictor_of(Hungry(0))
    reducing = Reducing(predictor, told.append)
    with pytest.raises(MemoryError, match="you tried 9 bytes"):
        reducing.run(lambda less: predict.predict(less, scan))
    assert len(told) == 3
    assert reducing.predictor is predictor  # that scan says nothing of the next one
    with pytest.raises(RuntimeError, match="of its own"):
        reducing.run(_fail)
    assert len(told) == 3


def _fail(_predictor):
    raise RuntimeError("of its own")


def test_all_models_of_an_ensemble_become_smaller(hippocampus_task, make_plan, tmp_path):
    sizes = [((64, 24, 24), 4), ((32, 80, 32), 1), ((32, 32, 32), 2)]
    first, *others = (
        Bundle(tmp_path, hippocampus_task, make_plan(patch=patch, inference=Inference(batch=n)))
        for patch, n in sizes
    )
    less = predict.Predictor(first, Hungry(0), torch.device("cpu"), others=tuple(others))
    seen = []
    while (less := smaller(less)) is not None:
        plans = [model.plan for model in less.models]
        seen.append([(plan.patch, plan.inference.batch) for plan in plans])
    assert seen == [
        [((64, 24, 24), 2), ((32, 80, 32), 1), ((32, 32, 32), 1)],
        [((64, 24, 24), 1), ((32, 80, 32), 1), ((32, 32, 32), 1)],
        [((32, 24, 24), 1), ((32, 64, 32), 1), ((32, 32, 32), 1)],
        [((32, 24, 24), 1), ((32, 32, 32), 1), ((32, 32, 32), 1)],
    ]


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
