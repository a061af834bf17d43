"""Dice with cross-entropy, against MONAI's and by hand."""

import math
import warnings

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from medseg.training.losses import centres, dice_cross_entropy, on_grid_of, soft_dice, supervised


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


def test_scales_are_weighed_and_a_scale_of_weight_zero_costs_nothing(logits, labels):
    targets = _one_hot(labels, 3)
    coarse = torch.randn(2, 3, 2, 3, 3, generator=torch.Generator().manual_seed(2))
    nonsense = torch.full((2, 3, 1, 1, 1), torch.nan)
    one = dice_cross_entropy(logits, targets, exclusive=True)
    # 5, 6 and 7 voxels make 2, 3 and 3 blocks by strides of 4, 2 and 3; the last may be cut
    picked = labels[:, [2, 4]][:, :, [1, 3, 5]][:, :, :, [1, 4, 6]]
    other = dice_cross_entropy(coarse, _one_hot(picked, 3), exclusive=True)
    loss = supervised([logits, coarse, nonsense], (0.75, 0.25, 0.0), targets, exclusive=True)
    assert loss.item() == pytest.approx(0.75 * one.item() + 0.25 * other.item(), rel=1e-5)


@pytest.mark.parametrize(
    ("fine", "coarse", "expected"),
    [
        (40, 3, [8, 24, 39]),  # stride 16: blocks begin at 0, 16 and 32
        (33, 5, [4, 12, 20, 28, 32]),  # stride 8, the last block has one voxel
        (40, 20, [1 + 2 * c for c in range(20)]),
        (96, 6, [8, 24, 40, 56, 72, 88]),
        (7, 3, [1, 4, 6]),  # stride 3: no power of two makes three blocks
        (7, 7, list(range(7))),
        (1, 1, [0]),
    ],
)
def test_coarse_voxels_stand_for_blocks_that_begin_at_the_strides(fine, coarse, expected):
    assert centres(fine, coarse) == expected


@given(fine=st.integers(1, 200), power=st.integers(0, 5))
def test_each_centre_lies_in_its_block(fine, power):
    stride = 2**power
    coarse = -(-fine // stride)
    found = centres(fine, coarse)
    if coarse > 1:  # a single one does not tell the stride
        assert [voxel // stride for voxel in found] == list(range(coarse))


def test_targets_are_taken_where_a_strided_network_looks():
    targets = torch.zeros(1, 1, 40, 1, 5)
    targets[0, 0, 32:, 0, 4] = 1  # the last block of 16, cut to 8; the last of 4, cut to 1
    coarse = on_grid_of(torch.zeros(1, 1, 3, 1, 2), targets)
    assert coarse[0, 0, :, 0].tolist() == [[0, 0], [0, 0], [0, 1]]
