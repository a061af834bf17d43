"""Scores of real segmentations agree with other programs'."""

import numpy as np
import pytest
import torch
from monai.metrics import compute_hausdorff_distance
from surface_distance import metrics as surface_distance

from medseg import formats
from medseg import task as tasks
from medseg.evaluation.evaluate import evaluate
from medseg.evaluation.metrics import dice, hd95
from medseg.evaluation.pair import Pair

pytestmark = pytest.mark.real_data

ORGANS = {"spleen": 1, "liver": 5, "stomach": 6, "aorta": 52}


# MONAI 1.6 calls itself with an argument it has deprecated.
@pytest.mark.filterwarnings("ignore:.*always_return_as_numpy:FutureWarning")
@pytest.mark.parametrize("organ", ORGANS)
def test_two_models_on_one_scan_score_as_other_programs_say(organ, real_data):
    folder = real_data / "readers" / "ct_organs"
    volumes = [formats.read(folder / f"example_seg{name}.nii.gz") for name in ("", "_fast")]
    spacing_mm = volumes[0].spacing_mm
    masks = [volume.voxels[0] == ORGANS[organ] for volume in volumes]
    pair = Pair(masks[0], masks[1], spacing_mm)
    assert dice.compute(pair) == pytest.approx(surface_distance.compute_dice_coefficient(*masks))
    tensors = [torch.from_numpy(mask[None, None].astype(np.float32)) for mask in masks]
    expected = compute_hausdorff_distance(
        *tensors, include_background=True, percentile=95, spacing=list(spacing_mm)
    )
    assert hd95.compute(pair) == pytest.approx(float(expected), rel=1e-5)


def test_a_data_set_scored_against_itself_is_perfect(real_data):
    labels = real_data / "hippocampus" / "Task04_Hippocampus" / "labelsTr"
    cases = sorted(path.name.removesuffix(".nii.gz") for path in labels.glob("h*.nii.gz"))[:20]
    scores = evaluate(tasks.read("hippocampus"), labels, labels, cases=cases)
    assert scores.cases == cases
    assert scores.mean("dice") == 1.0
    assert scores.mean("hd95_mm") == 0.0
