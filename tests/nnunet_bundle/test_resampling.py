import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from medseg.nnunet_bundle import resampling

SHAPES = st.tuples(*[st.integers(2, 40)] * 3)


def by_scipy(voxels, shape, order):
    """Resample as scikit-image does, on which nnU-Net builds."""
    factors = np.array(shape) / voxels.shape
    found = ndimage.zoom(
        voxels.astype(np.float64), factors, order=order, mode="nearest", grid_mode=True
    )
    return found.clip(voxels.min(), voxels.max())


@given(given=SHAPES, shape=SHAPES, order=st.sampled_from([1, 3]), seed=st.integers(0, 99))
def test_it_is_scipys_spline(given, shape, order, seed):
    voxels = np.random.default_rng(seed).normal(size=(1, *given)).astype(np.float32)
    found = resampling.resample(voxels, shape, order=order)
    np.testing.assert_allclose(found[0], by_scipy(voxels[0], shape, order), atol=1e-5)


def test_many_rows_need_few_columns_each(rng):
    voxels = rng.normal(size=(2, 5, 150, 6)).astype(np.float32)
    found = resampling.resample(voxels, (5, 101, 6), order=3)
    expected = [by_scipy(channel, (5, 101, 6), 3) for channel in voxels]
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_planes_are_resampled_by_themselves_and_the_nearest_taken(axis, rng):
    voxels = rng.normal(size=(8, 8, 8)).astype(np.float32)
    shape = tuple(4 if n == axis else 13 for n in range(3))
    found = resampling.resample(voxels[None], shape, order=3, separate=axis)[0]
    planes = [by_scipy(np.take(voxels, place, axis), (13, 13), 3) for place in (1, 3, 5, 7)]
    np.testing.assert_allclose(found, np.stack(planes, axis), atol=1e-5)


def test_between_planes_can_be_interpolated():
    voxels = np.zeros((1, 2, 3, 3), np.float32)
    voxels[:, 1] = 4
    found = resampling.resample(voxels, (4, 3, 3), order=3, separate=0, order_z=1)
    np.testing.assert_allclose(found[0, :, 1, 1], [0, 1, 3, 4], atol=1e-6)


def test_weights_of_a_voxel_add_up_to_one():
    np.testing.assert_allclose(resampling.matrix(17, 40, 3).sum(axis=1), 1, atol=1e-12)


def test_an_image_of_the_right_shape_is_left_alone(rng):
    voxels = rng.normal(size=(1, 4, 5, 6)).astype(np.float32)
    assert resampling.resample(voxels, (4, 5, 6), order=3) is voxels
