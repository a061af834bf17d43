"""The torchmetrics metric."""

import math
import os
import subprocess
import sys

import pytest
import torch

from medseg.evaluation import score_arrays
from medseg.training.score_metric import ScoreMetric

REGIONS = {"whole": [1, 2], "core": [2]}
SPACING_MM = (2.0, 1.0, 1.0)


@pytest.fixture
def batches():
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 3, (3, 2, 2, 6, 5, 4), generator=generator)


def floats(found):
    return {name: float(value) for name, value in found.items()}


def filled(metric, batches):
    for preds, target in batches:
        metric.update(preds, target)
    return metric


def test_its_means_are_those_of_the_evaluation(batches):
    found = filled(ScoreMetric(REGIONS, SPACING_MM), batches).compute()
    expected = [
        score_arrays(
            prediction=preds.numpy(),
            reference=target.numpy(),
            spacing_mm=SPACING_MM,
            regions=REGIONS,
        )
        for batch in batches
        for preds, target in zip(*batch, strict=True)
    ]
    for column in ("dice", "hd95_mm", "recall"):
        means = [sum(e[region].values[column] for e in expected) / 6 for region in REGIONS]
        assert float(found[f"{column}_whole"]) == pytest.approx(means[0], rel=1e-12)
        assert float(found[f"{column}_core"]) == pytest.approx(means[1], rel=1e-12)
        assert float(found[column]) == pytest.approx(sum(means) / 2, rel=1e-12)


def test_what_is_absent_missed_or_made_up_is_counted_and_means_are_honest():
    metric = ScoreMetric({"one": [1], "two": [2]}, SPACING_MM)
    target = torch.zeros(2, 3, 3, 3, dtype=torch.uint8)
    preds = target.clone()
    target[0, 1, 1, 1] = 1  # missed in the first case, absent from the second
    preds[1, 1, 1, 1] = 2  # made up in the second, absent from the first
    metric.update(preds, target)
    found = metric.compute()
    assert {key: int(found[key]) for key in ("absent", "missed", "false_alarm")} == {
        "absent": 2,
        "missed": 1,
        "false_alarm": 1,
    }
    assert (float(found["dice_one"]), float(found["dice"])) == (0.0, 0.0)


def test_masks_may_overlap(batches):
    label_maps = filled(ScoreMetric(REGIONS, SPACING_MM), batches).compute()
    masks = torch.stack([batches > 0, batches == 2], dim=3)
    by_mask = filled(ScoreMetric(REGIONS, SPACING_MM), masks).compute()
    assert floats(by_mask) == pytest.approx(floats(label_maps))


def test_a_reset_forgets(batches):
    metric = filled(ScoreMetric(REGIONS, SPACING_MM), batches)
    metric.reset()
    metric.update(batches[0, 0], batches[0, 0])
    found = metric.compute()
    assert float(found["dice"]) == 1.0
    assert float(found["hd95_mm"]) == 0.0


def test_nothing_at_all_is_nan():
    nothing = torch.zeros(1, 3, 3, 3, dtype=torch.int64)
    metric = ScoreMetric(REGIONS, SPACING_MM)
    metric.update(nothing, nothing)
    assert math.isnan(float(metric.compute()["dice"]))


def test_the_convention_is_that_asked_for():
    metric = ScoreMetric({"one": [1]}, SPACING_MM, convention="transunet")
    target = torch.zeros(1, 3, 3, 3, dtype=torch.int64)
    target[0, 1, 1, 1] = 1
    metric.update(torch.zeros_like(target), target)
    assert {"dice", "hd95_voxels", "dice_one", "hd95_voxels_one"} < set(metric.compute())
    assert float(metric.compute()["hd95_voxels"]) == 0.0  # as TransUNet scores what is missed


def test_forward_gives_the_batch_s_own_and_keeps_the_sum(batches):
    metric = ScoreMetric(REGIONS, SPACING_MM)
    alone = filled(ScoreMetric(REGIONS, SPACING_MM), batches[:1]).compute()
    assert floats(metric(*batches[0])) == pytest.approx(floats(alone))
    metric(*batches[1])
    both = filled(ScoreMetric(REGIONS, SPACING_MM), batches[:2]).compute()
    assert floats(metric.compute()) == pytest.approx(floats(both))


def test_processes_are_reduced_by_their_sums(batches):
    other = filled(ScoreMetric(REGIONS, SPACING_MM), batches[1:])
    states = iter([other.total, other.known, other.counted])
    metric = ScoreMetric(REGIONS, SPACING_MM)
    metric.dist_sync_fn = lambda own, group: [own, next(states)]  # noqa: ARG005 - by its name
    metric.distributed_available_fn = lambda: True
    filled(metric, batches[:1])
    alone = filled(ScoreMetric(REGIONS, SPACING_MM), batches).compute()
    assert floats(metric.compute()) == pytest.approx(floats(alone), rel=1e-12)


TWO_PROCESSES = """
import sys, torch
from torch import distributed
from medseg.training.score_metric import ScoreMetric
rank, place = int(sys.argv[1]), sys.argv[2]
distributed.init_process_group("gloo", init_method=f"file://{place}", rank=rank, world_size=2)
target = torch.zeros(1, 4, 4, 4, dtype=torch.int64)
target[0, 1, 1, :] = 1
preds = target if rank else torch.zeros_like(target)
metric = ScoreMetric({"one": [1]}, (1.0, 1.0, 1.0))
metric.update(preds, target)
found = metric.compute()
print(float(found["dice"]), int(found["missed"]))
distributed.destroy_process_group()
"""


@pytest.mark.slow
def test_two_processes_agree_on_the_mean_of_both(tmp_path):
    started = [
        subprocess.Popen(
            [sys.executable, "-c", TWO_PROCESSES, str(rank), str(tmp_path / "meeting")],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        for rank in (0, 1)
    ]
    assert [process.communicate(timeout=120)[0] for process in started] == ["0.5 1\n"] * 2


def test_label_maps_may_have_a_channel_axis_and_be_floating_point(batches):
    plain = filled(ScoreMetric(REGIONS, SPACING_MM), batches).compute()
    metric = ScoreMetric(REGIONS, SPACING_MM)
    for preds, target in batches:
        metric.update(preds[:, None].float(), target)
    assert floats(metric.compute()) == pytest.approx(floats(plain))


def label_maps(*shape, value=1):
    return torch.full(shape, value, dtype=torch.int64)


@pytest.mark.parametrize(
    ("preds", "target", "reason"),
    [
        (label_maps(3, 4, 4, 4), label_maps(2, 4, 4, 4), "cannot be compared with"),
        (label_maps(2, 2, 4, 4, 4), label_maps(2, 4, 4, 4), "have 2 channels; take the argmax"),
        (label_maps(2, 4, 4, 4) / 2, label_maps(2, 4, 4, 4), "with fractions"),
        (label_maps(2, 4, 4, 4) > 0, label_maps(2, 4, 4, 4), "give two masks"),
        (label_maps(2, 4, 4, 4, value=-1), label_maps(2, 4, 4, 4), "values from -1 to -1"),
    ],
)
def test_a_batch_that_cannot_be_scored_adds_nothing(preds, target, reason):
    metric = ScoreMetric(REGIONS, SPACING_MM)
    with pytest.raises(ValueError, match=reason):
        metric.update(preds, target)
    assert not metric.known.any()
    assert not metric.counted.any()


def test_a_case_that_is_wrong_keeps_out_those_before_it():
    preds = label_maps(2, 4, 4, 4)
    preds[1] = -1
    metric = ScoreMetric(REGIONS, SPACING_MM)
    with pytest.raises(ValueError, match="is no label map"):
        metric.update(preds, label_maps(2, 4, 4, 4))
    assert not metric.known.any()


def test_background_is_no_region():
    with pytest.raises(ValueError, match="0 is background"):
        ScoreMetric({"all": [0, 1]}, SPACING_MM)
