"""Dice on held-out cases during training."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from medseg.data import store
from medseg.training.validation import validate


class Threshold(nn.Module):
    """Says anterior where the image is 1, posterior where it is 2."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, image):
        classes = [self.scale - (image - value).abs() for value in (0, 1, 2)]
        return torch.cat(classes, dim=1)


@pytest.fixture
def plan(make_plan):
    return make_plan()


def _stored(folder, name, image, labels):
    return store.put(folder, name, image[None].astype(np.float32), labels.astype(np.uint8))


def test_dice_is_averaged_over_cases_and_regions(tmp_path, hippocampus_task, plan):
    labels = np.zeros((8, 8, 8), int)
    labels[0, 0, :4] = 1
    labels[1, 0, :4] = 2
    wrong = labels.copy()
    wrong[0, 0, :2] = 0  # two of four are missed: Dice 2 * 2 / (4 + 2)
    cases = [_stored(tmp_path, "good", labels, labels), _stored(tmp_path, "bad", wrong, labels)]
    scores = validate(Threshold(), cases, hippocampus_task, plan)
    assert scores["anterior"] == pytest.approx((1 + 2 / 3) / 2)
    assert scores["posterior"] == 1.0
    assert scores["mean"] == pytest.approx((scores["anterior"] + 1) / 2)


def test_a_region_that_is_nowhere_is_left_out(tmp_path, hippocampus_task, plan):
    labels = np.zeros((8, 8, 8), int)
    labels[0, 0, :4] = 1
    scores = validate(
        Threshold(), [_stored(tmp_path, "one", labels, labels)], hippocampus_task, plan
    )
    assert math.isnan(scores["posterior"])
    assert scores["mean"] == 1.0
