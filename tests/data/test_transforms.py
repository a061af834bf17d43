import numpy as np
import pytest
import torch

from medseg.data.transforms import augmentation
from medseg.recipe import Augmentation

STILL = {"geometry_probability": 0, "mirror_probability": 0, "intensity_probability": 0}


def changed(task, settings, image, labels, seed=0):
    augment = augmentation(task, Augmentation(**(STILL | settings)))
    augment.set_random_state(seed=seed)
    found = augment({"image": torch.from_numpy(image), "labels": torch.from_numpy(labels)})
    return np.asarray(found["image"]), np.asarray(found["labels"])


@pytest.fixture
def box():
    """A box of label 2, off centre; the image shows the same box."""
    labels = np.zeros((1, 20, 22, 24), dtype=np.float32)
    labels[:, 5:12, 8:18, 6:15] = 2
    return labels


@pytest.fixture
def noise(rng):
    return rng.normal(size=(2, 8, 8, 8)).astype(np.float32)


def test_nothing_changes_at_probability_zero(hippocampus_task, noise):
    image, labels = changed(hippocampus_task, {}, noise, noise[:1])
    np.testing.assert_array_equal(image, noise)
    np.testing.assert_array_equal(labels, noise[:1])


@pytest.mark.parametrize("seed", range(5))
def test_image_and_labels_are_turned_and_mirrored_together(phantom_task, box, seed):
    settings = {"geometry_probability": 1, "mirror_probability": 0.5}
    image, labels = changed(phantom_task, settings, box.copy(), box.copy(), seed)
    assert not np.array_equal(labels, box)
    assert set(np.unique(labels)) == {0, 2}
    # Where all neighbours agree, bilinear and nearest sampling give the same value.
    certain = (image < 0.001) | (image > 1.999)
    assert certain.mean() > 0.8
    np.testing.assert_allclose(image[certain], labels[certain], atol=0.001)
    assert (labels[image > 1.999] == 2).sum() > 200


def test_turns_and_sizes_stay_within_their_limits(phantom_task, box):
    volume = (box > 0).sum()
    for seed in range(10):
        _, grown = changed(
            phantom_task,
            {"geometry_probability": 1, "rotate_degrees": 0, "scale": 0.1},
            box.copy(),
            box.copy(),
            seed,
        )
        assert 0.9**3 * 0.8 < (grown > 0).sum() / volume < 1.1**3 / 0.8


def test_only_the_axes_that_the_task_allows_are_mirrored(hippocampus_task, noise):
    mirrored, _ = changed(hippocampus_task, {"mirror_probability": 1}, noise.copy(), noise[:1])
    np.testing.assert_array_equal(mirrored, noise[:, ::-1])


def test_all_three_axes_are_mirrored_where_the_task_allows_it(phantom_task, noise):
    image, labels = changed(phantom_task, {"mirror_probability": 1}, noise.copy(), noise[:1])
    np.testing.assert_array_equal(image, noise[:, ::-1, ::-1, ::-1])
    np.testing.assert_array_equal(labels, noise[:1, ::-1, ::-1, ::-1])


def test_a_task_may_forbid_mirroring(hippocampus_task, noise):
    task = hippocampus_task.model_copy(update={"mirror_axes": ()})
    image, _ = changed(task, {"mirror_probability": 1}, noise.copy(), noise[:1])
    np.testing.assert_array_equal(image, noise)


def test_intensities_change_and_labels_do_not(hippocampus_task, noise):
    labels = (noise[:1] > 0).astype(np.float32)
    image, found = changed(hippocampus_task, {"intensity_probability": 1}, noise.copy(), labels)
    np.testing.assert_array_equal(found, labels)
    assert not np.allclose(image, noise)
    assert np.isfinite(image).all()


def test_the_seed_decides(phantom_task, noise):
    every = dict.fromkeys(STILL, 1.0)
    one = changed(phantom_task, every, noise.copy(), noise[:1].copy(), seed=3)
    two = changed(phantom_task, every, noise.copy(), noise[:1].copy(), seed=3)
    other = changed(phantom_task, every, noise.copy(), noise[:1].copy(), seed=4)
    np.testing.assert_array_equal(one[0], two[0])
    np.testing.assert_array_equal(one[1], two[1])
    assert not np.array_equal(one[0], other[0])


def test_the_plan_says_across_which_axis_slices_are_thick(hippocampus_task):
    for across, number in (("x", 0), ("z", 2), ("none", None), ("auto", None)):
        changes = augmentation(hippocampus_task, Augmentation(slices_across=across))
        assert changes.transforms[0].across == number
