import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nibabel.orientations import apply_orientation, inv_ornt_aff

from medseg import task as tasks
from medseg.data import preprocessing
from medseg.data.preprocessing import (
    prepare,
    prepare_labels,
    prepare_on_demand,
    restore,
    restore_measured,
)
from medseg.volume import Grid, Volume

HIPPOCAMPUS = tasks.read("hippocampus")
PHANTOM = tasks.read("phantom")
ORDERS = [
    np.stack([axes, signs], axis=1)
    for axes in itertools.permutations(range(3))
    for signs in itertools.product((1, -1), repeat=3)
]


def oblique(degrees, spacing_mm=(1.0, 1.0, 1.0)):
    """A grid turned about x and then z."""
    cosine, sine = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    about_x = np.array([[1, 0, 0], [0, cosine, -sine], [0, sine, cosine]])
    about_z = np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]])
    affine = np.eye(4)
    affine[:3, :3] = about_z @ about_x * spacing_mm
    affine[:3, 3] = (-31.5, 12.25, 87.0)
    return affine


def stored(voxels, affine, order):
    """Store a scan in another order and direction of axes, by nibabel's own rules."""
    return apply_orientation(voxels, order), affine @ inv_ornt_aff(order, voxels.shape)


def scan(voxels, affine):
    i, j, k = voxels.shape
    return Volume(voxels[None], Grid((i, j, k), affine))


def toy_logits(image):
    """Call the bright voxels the first label, the brightest the second."""
    rows = [np.zeros_like(image[0]), 10 * (image[0] - 0.5), 20 * (image[0] - 1.0)]
    return np.stack(rows).astype(np.float32)


def toy_labels(voxels):
    """Decide as `toy_logits` does, straight from a scan without zeros."""
    values = voxels.astype(np.float64)
    clipped = np.clip(values, *np.percentile(values, (0.5, 99.5)))
    scaled = (clipped - clipped.mean()) / clipped.std()
    return np.where(scaled < 0.5, 0, np.where(scaled < 1.5, 1, 2))


@settings(max_examples=96, deadline=None)
@given(
    order=st.sampled_from(ORDERS),
    degrees=st.floats(-20, 20),
    shape=st.tuples(*[st.integers(2, 7)] * 3),
    seed=st.integers(0, 99),
)
def test_a_voxel_gets_the_same_label_whatever_the_order_it_is_stored_in(
    order, degrees, shape, seed, make_plan
):
    original = np.random.default_rng(seed).uniform(1, 2, size=shape)
    voxels, affine = stored(original, oblique(degrees), order)
    expected, _ = stored(toy_labels(original), oblique(degrees), order)
    prepared = prepare(scan(voxels, affine), HIPPOCAMPUS, make_plan())
    found = restore([toy_logits(prepared.image)], prepared, HIPPOCAMPUS)
    np.testing.assert_array_equal(found.label_map, expected)
    assert found.grid.affine is affine


@pytest.mark.parametrize("order", ORDERS)
def test_a_network_sees_the_same_image_whatever_the_order_it_is_stored_in(order, rng, make_plan):
    original = rng.uniform(1, 2, size=(5, 6, 7))
    plan = make_plan(spacing_mm=(0.7, 1.3, 1.0))
    expected = prepare(scan(original, oblique(11)), HIPPOCAMPUS, plan)
    found = prepare(scan(*stored(original, oblique(11), order)), HIPPOCAMPUS, plan)
    np.testing.assert_allclose(found.image, expected.image, atol=1e-6)
    assert found.image.shape == (1, 7, 5, 7)  # 5 / 0.7, 6 / 1.3 and 7 / 1 voxels, rounded
    assert found.ras_shape == (5, 6, 7)


@pytest.mark.parametrize("order", ORDERS[::5])
def test_labels_are_stored_as_their_scan_is_and_become_indices(order, rng, make_plan):
    original = rng.choice([0, 1, 2, 4], size=(5, 6, 7))
    label_map, affine = stored(original, oblique(11), order)
    i, j, k = label_map.shape
    found = prepare_labels(label_map, Grid((i, j, k), affine), PHANTOM, make_plan())
    np.testing.assert_array_equal(found, np.where(original == 4, 3, original))
    assert found.dtype == np.uint8


def test_a_coarse_voxel_gets_the_label_that_fills_most_of_it(make_plan):
    label_map = np.zeros((4, 4, 4), dtype=np.uint8)
    label_map[:2, :2, :2] = 1
    label_map[0, 0, 0] = 2  # 7 of 8 voxels are 1
    label_map[2:, 2:, 2:] = 2
    label_map[3, 3] = 0  # 2 of 8 voxels are background
    found = prepare_labels(
        label_map, Grid((4, 4, 4), np.eye(4)), HIPPOCAMPUS, make_plan(spacing_mm=(2, 2, 2))
    )
    expected = np.zeros((2, 2, 2))
    expected[0, 0, 0], expected[1, 1, 1] = 1, 2
    np.testing.assert_array_equal(found, expected)


def test_a_label_that_fills_half_of_a_coarse_voxel_is_kept(make_plan):
    label_map = np.zeros((4, 4, 4), dtype=np.uint8)
    label_map[1] = 2
    found = prepare_labels(
        label_map, Grid((4, 4, 4), np.eye(4)), HIPPOCAMPUS, make_plan(spacing_mm=(2, 2, 2))
    )
    assert found[0].tolist() == [[2, 2], [2, 2]]
    assert found[1].tolist() == [[0, 0], [0, 0]]


def test_finer_labels_move_a_border_by_less_than_a_voxel(make_plan):
    label_map = np.zeros((6, 6, 6), dtype=np.uint8)
    label_map[3:] = 2
    found = prepare_labels(
        label_map, Grid((6, 6, 6), np.eye(4)), HIPPOCAMPUS, make_plan(spacing_mm=(0.5, 1, 1))
    )
    expected = np.zeros((12, 6, 6))
    expected[6:] = 2
    np.testing.assert_array_equal(found, expected)


def test_the_image_and_its_labels_have_one_shape(rng, make_plan):
    affine = oblique(30, spacing_mm=(1.3, 0.4, 5.0))
    voxels = rng.uniform(1, 2, size=(7, 21, 3))
    grid = Grid((7, 21, 3), affine)
    plan = make_plan(spacing_mm=(0.9, 1.1, 2.3))
    image = prepare(Volume(voxels[None], grid), HIPPOCAMPUS, plan).image
    labels = prepare_labels(np.ones((7, 21, 3), dtype=np.uint8), grid, HIPPOCAMPUS, plan)
    assert image.shape[1:] == labels.shape


@pytest.mark.parametrize("spacing_mm", [(0.5, 0.5, 0.5), (2.0, 1.5, 1.0)])
@pytest.mark.parametrize("order", [ORDERS[0], ORDERS[29], ORDERS[47]])
def test_a_ball_comes_back_to_its_place_through_another_spacing(order, spacing_mm, make_plan):
    centre = np.array([9.0, 8.0, 11.0])
    apart = np.linalg.norm(np.stack(np.indices((20, 18, 22)), -1) - centre, axis=-1)
    ball = np.where(apart < 6, 200.0, 100.0)
    voxels, affine = stored(ball, oblique(15), order)
    prepared = prepare(scan(voxels, affine), HIPPOCAMPUS, make_plan(spacing_mm=spacing_mm))
    bright = prepared.image[0] - (prepared.image.max() + prepared.image.min()) / 2
    logits = np.stack([np.zeros_like(bright), bright, np.full_like(bright, -9)])
    found = restore([logits], prepared, HIPPOCAMPUS)
    assert found.label_map.shape == voxels.shape
    certain, _ = stored(np.abs(apart - 6) > 1.1, oblique(15), order)
    np.testing.assert_array_equal((found.label_map == 1)[certain], (voxels > 150)[certain])


def test_measuring_changes_no_label_and_averages_entropy_by_label(make_plan, rng):
    voxels, affine = stored(rng.uniform(1, 2, (20, 9, 8)), oblique(5), ORDERS[21])
    prepared = prepare(scan(voxels, affine), HIPPOCAMPUS, make_plan())
    logits = toy_logits(prepared.image)
    expected = restore([logits], prepared, HIPPOCAMPUS).label_map
    found = restore_measured([logits], prepared, HIPPOCAMPUS, keep_entropy=True)
    assert np.array_equal(found.segmentation.label_map, expected)
    for value, name in ((1, "anterior"), (2, "posterior")):
        mean = found.entropy[expected == value].mean(dtype=np.float64)
        assert found.mean_entropy[name] == pytest.approx(mean, rel=1e-5)
    empty = np.zeros_like(logits)
    empty[0] = 9
    nothing = restore_measured([empty], prepared, HIPPOCAMPUS, keep_entropy=False)
    assert nothing.mean_entropy == {}
    assert nothing.entropy is None


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("spacing_mm", [(1.0, 1.0, 1.0), (0.7, 1.6, 1.3)])
def test_logits_may_come_in_pieces_along_any_axis(axis, spacing_mm, make_plan, rng):
    voxels, affine = stored(rng.uniform(1, 2, (12, 9, 10)), oblique(5), ORDERS[37])
    prepared = prepare(scan(voxels, affine), HIPPOCAMPUS, make_plan(spacing_mm=spacing_mm))
    logits = toy_logits(prepared.image)
    expected = restore_measured([logits], prepared, HIPPOCAMPUS, keep_entropy=True)
    pieces = np.array_split(logits, 4, axis=1 + axis)
    found = restore_measured(pieces, prepared, HIPPOCAMPUS, axis=axis, keep_entropy=True)
    differing = found.segmentation.label_map != expected.segmentation.label_map
    assert differing.mean() < 0.002  # where two labels are equal but for rounding
    np.testing.assert_allclose(found.entropy, expected.entropy, atol=1e-5)
    plain = restore(pieces, prepared, HIPPOCAMPUS, axis=axis).label_map
    assert np.array_equal(plain, found.segmentation.label_map)
    assert plain.max() > 0


@pytest.mark.parametrize("place", [np.s_[:, :, :, :], np.s_[:, 2:5, :1, 3:9]])
def test_a_large_image_is_made_ready_where_it_is_asked_for(place, make_plan, rng, monkeypatch):
    monkeypatch.setattr(preprocessing, "LARGE", 9 * 8 * 7)
    voxels, affine = stored(rng.uniform(1, 2, (9, 8, 7)), oblique(5), ORDERS[21])
    there = scan(voxels, affine)
    whole = prepare(there, HIPPOCAMPUS, make_plan())
    found = prepare_on_demand(there, HIPPOCAMPUS, make_plan())
    assert isinstance(found.image, preprocessing.ImageOnDemand)
    assert found.image.shape == whole.image.shape
    np.testing.assert_array_equal(found.image[place].numpy(), whole.image[place])
    assert (found.order, found.ras_shape) == (whole.order, whole.ras_shape)
    resampled = prepare_on_demand(there, HIPPOCAMPUS, make_plan(spacing_mm=(2.0, 1.0, 1.0)))
    assert isinstance(resampled.image, np.ndarray)
    smaller = prepare_on_demand(scan(voxels[1:], affine), HIPPOCAMPUS, make_plan())
    assert isinstance(smaller.image, np.ndarray)
