from pathlib import Path

import numpy as np
import pytest

from medseg.nnunet_bundle import plans, preparation
from medseg.volume import Grid, Volume
from tests import nnunet_results as results


def configuration(**changes):
    schemes = {"normalization_schemes": ["NoNormalization"]}
    return plans.parse(results.plans(**schemes | changes), "3d_fullres", where=Path())


def volume(voxels, affine=None):
    return Volume(voxels[None], Grid(voxels.shape, np.eye(4) if affine is None else affine))


@pytest.mark.parametrize(
    ("transpose", "axes"), [([0, 1, 2], (2, 1, 0)), ([1, 2, 0], (1, 0, 2)), ([2, 0, 1], (0, 2, 1))]
)
def test_axes_are_those_of_the_file_backwards_then_as_the_plans_say(transpose, axes, rng):
    voxels = rng.normal(size=(3, 4, 5)).astype(np.float32)
    flipped = np.diag([-1.0, 1, 1, 1])
    changes = {"transpose_forward": transpose}
    found = preparation.prepare(volume(voxels, flipped), configuration(**changes))
    np.testing.assert_array_equal(found.image[0], voxels.transpose(axes))


def test_a_reader_that_turns_axes_is_followed(rng):
    voxels = rng.normal(size=(3, 4, 5)).astype(np.float32)
    affine = np.array([[0, -1.0, 0, 3], [1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])  # i: A, j: L
    changes = {"image_reader_writer": "SimpleITKIOWithReorient"}
    found = preparation.prepare(volume(voxels, affine), configuration(**changes))
    np.testing.assert_array_equal(found.image[0], voxels[:, ::-1].transpose(2, 0, 1))


def test_what_is_zero_around_is_cut_off_and_comes_back_as_background(hippocampus_task):
    from medseg.data.preprocessing import restore

    voxels = np.zeros((6, 7, 8), np.float32)
    voxels[1:4, 2, 3:5] = 5
    found = preparation.prepare(volume(voxels), configuration())
    assert found.box == (slice(3, 5), slice(2, 3), slice(1, 4))
    logits = np.zeros((3, *found.image.shape[1:]), np.float32)
    logits[2] = 1
    np.testing.assert_array_equal(
        restore([logits], found, hippocampus_task).label_map, 2 * (voxels > 0)
    )


def test_an_image_of_zeros_is_not_cut():
    voxels = np.zeros((1, 2, 3, 4), np.float32)
    assert preparation.occupied(voxels) == (slice(0, 2), slice(0, 3), slice(0, 4))


def test_shapes_are_rounded_as_python_does():
    assert preparation.resampled_shape((5, 3, 7), (1.0, 0.5, 2.0), (2.0, 1.0, 1.0)) == (2, 2, 14)


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 0.4), (0.4, 1.0, 1.0)])
def test_one_slice_that_is_thin_beside_the_target_stays_one(spacing, rng, hippocampus_task):
    from medseg.data.preprocessing import restore

    shape = tuple(1 if length < 1 else 6 for length in spacing)
    thin = volume(rng.normal(size=shape).astype(np.float32), np.diag([*spacing, 1.0]))
    found = preparation.prepare(thin, configuration())
    assert found.image.shape == (1, *shape[::-1])
    logits = np.zeros((3, *found.image.shape[1:]), np.float32)
    logits[1] = 1
    assert (restore([logits], found, hippocampus_task).label_map == 1).all()


def test_the_way_back_takes_the_nearest_of_thick_slices(rng):
    voxels = rng.normal(size=(4, 4, 4)).astype(np.float32)
    thick = volume(voxels, np.diag([1.0, 1, 5, 1]))
    assert preparation.prepare(thick, configuration()).nearest_axis == 0
    linear = {"order": 1, "order_z": 1}
    changes = {"resampling_fn_probabilities_kwargs": linear}
    assert preparation.prepare(thick, configuration(**changes)).nearest_axis is None


def test_a_part_of_the_image_is_that_of_all_of_it_and_comes_back_to_its_place(rng):
    from medseg import task as tasks
    from medseg.data.preprocessing import restore

    there = volume(rng.uniform(1, 9, (6, 7, 8)))
    whole = preparation.prepare(there, configuration())
    i, j, k = whole.image.shape[1:]
    place = (slice(1, i - 1), slice(0, j), slice(2, k))
    part = preparation.prepare(there, configuration(), place)
    np.testing.assert_array_equal(part.image, whole.image[(slice(None), *place)])
    labels = rng.normal(size=(3, i, j, k)).astype(np.float32)
    task = tasks.read("hippocampus")
    expected = restore([labels], whole, task).label_map
    found = restore([labels[(slice(None), *place)]], part, task).label_map
    assert np.array_equal(found[found > 0], expected[found > 0])
    assert (found > 0).sum() > (expected > 0).sum() / 4
