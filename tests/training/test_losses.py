"""Dice with cross-entropy, against MONAI's and by hand."""

import math
import warnings

import pytest
import torch

from medseg.training.losses import dice_cross_entropy, soft_dice


def _one_hot(labels, outputs):
    return torch.nn.functional.one_hot(labels, outputs).movedim(-1, 1).float()


@pytest.fixture
def logits():
    return torch.randn(2, 3, 5, 6, 7, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def labels():
    return torch.randint(0, 3, (2, 5, 6, 7), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("exclusive", [True, False])
def test_it_agrees_with_monai(logits, labels, exclusive):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MONAI's import
        from monai.losses import DiceLoss
    targets = _one_hot(labels, 3)
    dice = DiceLoss(
        softmax=exclusive,
        sigmoid=not exclusive,
        include_background=not exclusive,
        batch=True,
        smooth_nr=1e-5,
        smooth_dr=1e-5,
    )(logits, targets)
    entropy = (
        torch.nn.functional.cross_entropy(logits, labels)
        if exclusive
        else torch.nn.functional.binary_cross_entropy_with_logits(logits, targets)
    )
    ours = dice_cross_entropy(logits, targets, exclusive=exclusive)
    assert ours.item() == pytest.approx((dice + entropy).item(), rel=1e-5)


def test_certainty_that_is_right_costs_nothing(labels):
    targets = _one_hot(labels, 3)
    loss = dice_cross_entropy(targets * 200 - 100, targets, exclusive=True)
    assert loss.item() == pytest.approx(0.0, abs=1e-5)


def test_not_knowing_between_two_outputs_costs_log_two_and_half_the_dice():
    targets = torch.zeros(1, 2, 1, 1, 2)
    targets[0, 0, 0, 0, 0] = 1
    targets[0, 1, 0, 0, 1] = 1
    # probability 1/2 everywhere: Dice of the foreground is 2 * 1/2 / (1 + 1) = 1/2
    loss = dice_cross_entropy(torch.zeros(1, 2, 1, 1, 2), targets, exclusive=True)
    assert loss.item() == pytest.approx(math.log(2) + 0.5, rel=1e-4)


def test_an_absent_structure_that_is_not_found_has_dice_one():
    nothing = torch.zeros(2, 1, 3, 3, 3)
    assert soft_dice(nothing, nothing).item() == pytest.approx(1.0)


def test_bfloat16_logits_give_a_float32_loss(logits, labels):
    loss = dice_cross_entropy(logits.bfloat16(), _one_hot(labels, 3), exclusive=True)
    assert loss.dtype == torch.float32
