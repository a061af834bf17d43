import json
import os
import subprocess
import sys
import weakref
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from medseg import memory
from medseg.bundle import Bundle
from medseg.errors import ImageError, UsageError
from medseg.inference import blending, memory_plan, predict
from medseg.inference.memory_plan import Budget, Needs, parsed_bytes, shown, together
from medseg.inference.options import Options
from medseg.inference.precision import Precision
from medseg.inference.reduction import DeviceTooSmallError
from medseg.inference.scan_size import ScanSize
from medseg.inference.settling import Settling
from medseg.recipe import Inference
from medseg.volume import Grid
from tests import nnunet_results as results

SCRIPT = Path(__file__).with_name("measured_prediction.py")


def measured(tmp_path, **given):
    """Predict in a process of its own, without what the tests load."""
    usual = {"spacing_mm": [1, 1, 1], "network": "cheap", "batch": 1, "small": False}
    settings = usual | {"tta": False, "plans": None, "other_mm": None} | given
    command = [sys.executable, str(SCRIPT), str(tmp_path), json.dumps(settings)]
    # what is freed goes back at once, so that the peak does not depend on the allocator's luck
    env = {**os.environ, "MALLOC_MMAP_THRESHOLD_": str(1 << 20)}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=env)
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not tell the peak of a part")
def test_a_scan_and_its_14_classes_take_less_than_three_times_the_scan(tmp_path):
    found = measured(tmp_path, shape=[256, 256, 320], patch=[24] * 3, outputs=14, small=True)
    assert found["labels"] == 14
    assert found["measured"] <= 3 * found["scan"]


CASES = [
    {"shape": [224, 192, 200], "patch": [48] * 3, "outputs": 14},
    {"shape": [160, 144, 120], "patch": [64] * 3, "outputs": 3, "spacing_mm": [0.7, 0.8, 0.9]},
    {"shape": [96] * 3, "patch": [64] * 3, "outputs": 9, "network": "swin_unetr", "batch": 2},
    {"shape": [128, 96, 96], "patch": [64] * 3, "outputs": 4, "network": "res_enc_unet"},
    # nnU-Net counts axes backwards: k is 300 voxels of it, so that a band lies along k
    {"shape": [180, 190, 100], "patch": [48] * 3, "outputs": 6, "spacing_mm": [1 / 3, 1, 1]}
    | {"tta": True, "plans": results.plans(spacing=[1 / 3, 1.0, 1.0], patch_size=[48, 48, 48])},
    {"shape": [130, 120, 110], "patch": [48] * 3, "outputs": 5, "other_mm": [0.9, 1.1, 0.8]},
]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not tell the peak of a part")
@pytest.mark.parametrize("case", CASES)
def test_the_peak_is_within_a_fifth_of_the_plan(case, tmp_path):
    found = measured(tmp_path, **case)
    assert found["planned"] == pytest.approx(found["measured"], rel=0.2)


@pytest.fixture
def predictor(tmp_path, hippocampus_task, make_plan):
    plan = make_plan(patch=(64, 64, 64), inference=Inference(batch=2))
    network = nn.Conv3d(1, 3, 1)
    return predict.Predictor(Bundle(tmp_path, hippocampus_task, plan), network, torch.device("cpu"))


def test_the_tile_is_made_to_fit_and_what_cannot_fit_is_refused_with_a_way_out(predictor):
    scan = ScanSize(Grid((200, 200, 200), np.eye(4)), channels=1, itemsize=2)
    whole = Budget(10**12, 0, 10**8, 64**3)
    same, most = whole.fitting(scan, predictor, where="a")
    assert same is predictor
    less, needs = Budget(most.host - 1, 0, 10**8, 64**3).fitting(scan, predictor, where="a")
    assert (needs.patch, needs.batch) == ((64, 64, 64), 1)
    assert less.bundle.plan.inference.batch == 1
    _, needs = Budget(needs.host - 1, 0, 10**8, 64**3).fitting(scan, predictor, where="a")
    assert (needs.patch, needs.batch) == ((32, 64, 64), 1)
    with pytest.raises(ImageError, match=r"^a: \(200x200x200 voxels\) needs .* --max-memory"):
        Budget(10**6, 0, 10**8, 64**3).fitting(scan, predictor, where="a")


def test_a_network_takes_what_its_features_take(predictor):
    class Wide(nn.Module):
        def forward(self, patches):
            return patches.repeat(1, 256, 1, 1, 1)[:, :3].clone()

    wide = predict.Predictor(predictor.bundle, Wide(), torch.device("cpu"))
    assert memory_plan.network_bytes(wide, (64, 64, 64)) == pytest.approx(256 * 4 * 64**3, rel=0.1)


def test_nothing_is_measured_by_a_peak_of_the_past_unless_it_was_asked_for(predictor, monkeypatch):
    monkeypatch.setattr(memory, "forget_peak", lambda: False)
    monkeypatch.setattr(memory, "resident_bytes", lambda: 40)
    monkeypatch.setattr(memory, "peak_bytes", lambda: 100)
    assert memory_plan.network_bytes(predictor, (8, 8, 8), exact=False) == 0
    assert memory_plan.network_bytes(predictor, (8, 8, 8), exact=True) == 60


def test_neighbours_count_while_they_wait_or_are_written():
    one, other = (
        Needs(host, 0, (8, 8, 8), 1, waiting, 5) for host, waiting in ((90, 20), (70, 30))
    )
    assert together([one, other]) == 90 + 30 + 5
    assert together([one]) == 90
    assert together([]) == 0


def test_the_tile_fits_the_gpu_too_whose_memory_is_another(predictor, monkeypatch):
    scan = ScanSize(Grid((200, 200, 200), np.eye(4)), channels=1, itemsize=2)
    on_gpu = replace(predictor, device=torch.device("cuda"))
    _, most = Budget(10**12, 10**12, 10**8, 64**3).fitting(scan, on_gpu, where="a")
    assert most.batch == 2
    _, less = Budget(10**12, most.device - 1, 10**8, 64**3).fitting(scan, on_gpu, where="a")
    assert (less.patch, less.batch) == ((64, 64, 64), 1)
    full = Budget(10**12, 10**6, 10**8, 64**3)
    with pytest.raises(DeviceTooSmallError, match="of the GPU's memory, where 1 MB is"):
        full.fitting(scan, on_gpu, where="a")
    found = full.fitting_anywhere(scan, on_gpu, where="a")
    assert found == full.needs(scan, predictor)  # the whole tile, on the processor
    with pytest.raises(ImageError, match=r"of memory, and there is 1 MB"):
        replace(full, limit=10**6).fitting_anywhere(scan, on_gpu, where="a")
    free = {"mem_get_info": (700, 900), "memory_reserved": 50, "memory_allocated": 20}
    for name, value in free.items():
        monkeypatch.setattr(torch.cuda, name, lambda _, value=value: value)
    monkeypatch.setattr(memory_plan, "network_bytes", lambda *_, exact: 5)  # noqa: ARG005
    assert memory_plan.budget(on_gpu, 10**12).on_device == 700 + 50 - 20


def test_what_is_read_before_one_volume_is_chosen_counts(predictor):
    grid = Grid((100, 100, 100), np.eye(4))
    one = ScanSize(grid, 1, 2)
    film = ScanSize(grid, 1, 2, reading=10**9)
    assert memory_plan.needs(film, predictor, 0).host == 10**9 + memory_plan.WORKING
    assert memory_plan.needs(one, predictor, 0).host < 10**9


def test_mirroring_further_models_and_an_open_precision_cost_memory(predictor):
    scan = ScanSize(Grid((100, 100, 100), np.eye(4)), 1, 2)
    task = predictor.bundle.task.model_copy(update={"mirror_axes": ("x",)})
    alone = replace(predictor, bundle=replace(predictor.bundle, task=task))
    plain = memory_plan.needs(scan, alone, 10**9).host
    mirrored = replace(alone, options=Options(tta=True))
    voxels, outputs = 64**3, 3
    assert memory_plan.needs(scan, mirrored, 10**9).host - plain == 2 * (2 * 3 + 1) * 4 * voxels
    several = replace(alone, others=(alone.bundle,))
    assert memory_plan.needs(scan, several, 10**9).host - plain >= 4 * outputs * 100**3
    proposed = Precision(torch.bfloat16, "it has it")
    kept = (4 * (4 + 2) + 8) * voxels  # four patches with their labels, as indices at first
    for is_settled, more in ((False, kept + 4 * 10**6 // 2), (True, 0)):
        network = nn.Sequential(nn.Linear(1000, 1000, bias=False))
        settling = Settling(network, proposed, exclusive=True, is_settled=is_settled)
        given = replace(alone, network=settling)
        assert memory_plan.needs(scan, given, 10**9).host - plain == more


def test_where_torch_blends_its_weights_count_too(predictor, monkeypatch):
    scan = ScanSize(Grid((100, 90, 80), np.eye(4)), 1, 2)
    compiled = memory_plan.needs(scan, predictor, 10**9).host
    monkeypatch.setattr(blending, "import_error", lambda _: "it is broken")
    weights = 2 * 4 * 64 * 90 * 80
    assert memory_plan.needs(scan, predictor, 10**9).host - compiled == weights


def test_a_batch_waits_as_a_whole(predictor, make_plan):
    scan = ScanSize(Grid((100, 90, 80), np.eye(4)), 1, 2)

    def host(batch):
        plan = make_plan(patch=(64, 64, 64), inference=Inference(batch=batch))
        bundle = replace(predictor.bundle, plan=plan)
        return memory_plan.needs(scan, replace(predictor, bundle=bundle), 10**9).host

    logits = 3 * 4 * 64**3
    assert host(3) - host(2) == 10**9  # three wait with either
    assert host(6) - host(3) == 3 * (10**9 + logits)


def test_a_network_is_measured_once(predictor, monkeypatch):
    seen = []
    monkeypatch.setattr(
        memory_plan, "network_bytes", lambda *given, exact: seen.append((given, exact)) or 7
    )
    assert [memory_plan.budget(predictor, None).per_patch for _ in range(3)] == [7, 7, 7]
    assert len(seen) == 1


def test_networks_are_measured_one_after_the_other(predictor, monkeypatch):
    alive = weakref.WeakSet()

    def build(_):
        network = nn.Conv3d(1, 3, 1)
        alive.add(network)
        held.append(len(alive))
        return network

    held = []
    monkeypatch.setattr(Bundle, "build_network", build)
    monkeypatch.setattr(memory_plan, "network_bytes", lambda *_, exact: 5)  # noqa: ARG005
    bundle = predictor.bundle
    several = predict.load(bundle, predictor.device, Options("float32"), others=(bundle, bundle))
    memory_plan.budget(several, None)
    assert held == [1, 1, 1]


def test_amounts_of_memory_are_read_and_shown():
    assert [parsed_bytes(text) for text in ("8G", "500M", "1.5GB", "2GiB", "7")] == [
        *(8 * 10**9, 500 * 10**6, 1_500_000_000, 2 * 10**9, 7)
    ]
    for wrong in ("", "G", "many", "-1G", "8X", "nan", "infG"):
        with pytest.raises(UsageError, match="is no amount of memory"):
            parsed_bytes(wrong)
    assert [shown(size) for size in (2_340_000_000, 5_600_000)] == ["2.3 GB", "6 MB"]
