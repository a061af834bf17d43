"""Ours equal MONAI's: the same numbers give the same change, and are drawn alike."""

import numpy as np
import pytest
import torch
from monai import transforms
from scipy import stats

from medseg.data import random_changes
from medseg.data.random_changes import RandomAffine, RandomNoise

ANGLE, SCALE = 0.35, 0.2


@pytest.fixture
def patch(rng):
    return {
        "image": torch.from_numpy(rng.normal(size=(2, 13, 16, 11)).astype(np.float32)),
        "labels": torch.from_numpy(rng.integers(0, 3, size=(1, 13, 16, 11)).astype(np.float32)),
    }


class Drawn:
    """Stands for a random state; gives the numbers it was made with."""

    def __init__(self, *numbers):
        self.numbers = list(numbers)

    def rand(self):
        return 0.0

    def uniform(self, low, high, size):
        assert size == 3
        found = self.numbers.pop(0)
        assert np.all(np.asarray(low) <= found), "drawn from another range"
        assert np.all(found <= np.asarray(high)), "drawn from another range"
        return found


@pytest.mark.parametrize(
    ("angles", "factors"),
    [
        ((0.3, 0, 0), (1, 1, 1)),
        ((0, -0.2, 0), (1, 1, 1)),
        ((0, 0, 0.1), (1, 1, 1)),
        ((0, 0, 0), (0.8, 1.1, 1.2)),
        ((0.3, -0.2, 0.1), (0.8, 1.1, 1.2)),
    ],
)
def test_the_same_numbers_give_monais_patch(patch, angles, factors):
    ours = RandomAffine("image", "labels", probability=1, angle=ANGLE, scale=SCALE)
    ours.R = Drawn(np.array(angles), np.array(factors, dtype=float))
    theirs = transforms.Affined(
        ("image", "labels"),
        rotate_params=angles,
        scale_params=factors,
        mode=("bilinear", "nearest"),
        padding_mode="border",
    )
    found, expected = ours(patch), theirs(patch)
    assert not torch.equal(found["image"], patch["image"])
    np.testing.assert_allclose(found["image"], expected["image"], atol=2e-5)
    differing = np.not_equal(found["labels"], expected["labels"]).mean()
    assert differing < 0.005  # at points midway between two voxels rounding decides


def matrices_of_ours(count, patch, monkeypatch):
    seen = []
    grid = random_changes._grid

    def noted(matrix, image):
        seen.append(matrix)
        return grid(matrix, image)

    monkeypatch.setattr(random_changes, "_grid", noted)
    change = RandomAffine("image", "labels", probability=0.3, angle=ANGLE, scale=SCALE)
    change.set_random_state(seed=0)
    for _ in range(count):
        change(patch)
    return np.array(seen), len(seen) / count


def matrices_of_monai(count):
    change = transforms.RandAffine(
        prob=0.3, rotate_range=(ANGLE,) * 3, scale_range=(SCALE,) * 3, padding_mode="border"
    )
    change.set_random_state(seed=1)
    seen = []
    for _ in range(count):
        change.randomize()
        if change._do_transform:
            grid = change.rand_affine_grid
            grid.randomize()
            grid((2, 2, 2))
            seen.append(np.asarray(grid.get_transformation_matrix())[:3, :3])
    return np.array(seen), len(seen) / count


def test_turns_and_scales_are_distributed_as_monais(patch, monkeypatch):
    small = {key: value[..., :2, :2, :2] for key, value in patch.items()}
    ours, often = matrices_of_ours(3000, small, monkeypatch)
    theirs, as_often = matrices_of_monai(3000)
    assert often == pytest.approx(0.3, abs=0.03)  # three standard deviations of a share are 0.025
    assert as_often == pytest.approx(0.3, abs=0.03)
    for row in range(3):
        for column in range(3):
            same = stats.ks_2samp(ours[:, row, column], theirs[:, row, column])
            assert same.pvalue > 0.001, (row, column)


def test_noise_is_distributed_as_monais():
    still = {"image": torch.zeros(1, 4, 4, 4)}
    ours = RandomNoise("image", probability=0.4, deviation=0.15)
    theirs = transforms.RandGaussianNoised("image", prob=0.4, std=0.15)
    drawn = []
    for number, change in enumerate((ours, theirs)):
        change.set_random_state(seed=number)
        made = np.array([np.asarray(change(dict(still))["image"]) for _ in range(2000)])
        drawn.append(made.reshape(len(made), -1))
    for made in drawn:
        assert (made != 0).any(axis=1).mean() == pytest.approx(0.4, abs=0.04)
    deviations = [made[(made != 0).any(axis=1)].std(axis=1) for made in drawn]
    assert stats.ks_2samp(*deviations).pvalue > 0.001
    values = [made[(made != 0).any(axis=1)][:, 0] for made in drawn]
    assert stats.ks_2samp(*values).pvalue > 0.001


def test_nothing_is_done_at_probability_zero(patch):
    for change in (
        RandomAffine("image", "labels", probability=0, angle=1.0, scale=0.5),
        RandomNoise("image", probability=0, deviation=1.0),
    ):
        found = change(patch)
        assert all(torch.equal(found[key], patch[key]) for key in patch)


def test_noise_leaves_the_patch_it_was_given_alone(patch):
    before = patch["image"].clone()
    changed = RandomNoise("image", probability=1, deviation=1.0)(patch)
    assert torch.equal(patch["image"], before)
    assert not torch.equal(changed["image"], before)


def test_thick_slices_are_turned_and_scaled_within_themselves():
    volume = torch.arange(5.0)[None, None, None, :].expand(1, 12, 12, 5).clone()
    change = RandomAffine("image", "labels", probability=1.0, angle=0.5, scale=0.3, across=2)
    change.set_random_state(seed=3)
    sides = torch.zeros(1, 12, 12, 5)
    sides[:, :3] = 1.0
    changed = change({"image": torch.cat([volume, sides]), "labels": volume.clone()})
    # every voxel stays in its slice, and there it moves
    assert torch.allclose(changed["image"][0], volume[0], atol=1e-4)
    assert torch.equal(changed["labels"], volume)
    assert not torch.allclose(changed["image"][1], sides[0], atol=0.1)
