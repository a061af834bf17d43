import numpy as np
import pytest

from medseg.data import intensity
from medseg.recipe import Window


@pytest.fixture
def mr(hippocampus_task):
    """Normalises one MR channel given as a flat list."""

    def normalised(values):
        voxels = np.asarray(values).reshape(1, -1, 1, 1)
        return intensity.normalise(voxels, hippocampus_task, {}).ravel()

    return normalised


def test_two_values_become_one_deviation_below_and_above_the_mean(mr):
    # Clipped at 10 + 0.005 * 20 and 30 - 0.005 * 20; their mean is 20, their deviation 9.9.
    np.testing.assert_allclose(mr([10.0, 30.0]), [-1.0, 1.0], rtol=1e-6)


def test_zeros_outside_a_skull_stripped_brain_do_not_count(mr):
    # Inside: 10, 30, so that zero lies 20 / 9.9 deviations below their mean.
    np.testing.assert_allclose(mr([0.0, 10.0, 30.0, 0.0]), [-20 / 9.9, -1, 1, -20 / 9.9], rtol=1e-6)


def test_mean_and_deviation_inside_are_zero_and_one(mr, rng):
    values = np.concatenate([np.zeros(500), rng.gamma(3.0, 50.0, size=2000)])
    found = mr(values)
    assert found.dtype == np.float32
    assert found[values > 0].mean() == pytest.approx(0, abs=1e-5)
    assert found[values > 0].std() == pytest.approx(1, abs=1e-5)
    assert len(set(found[values == 0])) == 1


def test_outliers_on_both_sides_are_clipped_to_the_percentiles(mr):
    values = np.arange(1000.0, 2001.0)  # the percentiles of 1001 even steps are 1005 and 1995
    found = mr(values)
    middle = values[5:-5]
    clipped = np.concatenate([[1005.0] * 5, middle, [1995.0] * 5])
    np.testing.assert_allclose(found, (clipped - clipped.mean()) / clipped.std(), atol=1e-5)
    assert mr([*values, 1.0])[-1] == pytest.approx(found[0], abs=0.01)  # 1 is dark, yet not outside


def test_intensities_of_millions_keep_their_digits(mr, rng):
    for size in (4999, 5000, 20_011):
        values = rng.integers(1, 100, size=size)
        np.testing.assert_allclose(mr((values + 1_700_000).astype(np.int32)), mr(values), atol=1e-6)


@pytest.mark.parametrize("factor", [1e-6, 3.0, 1e6])
def test_the_scale_of_an_mr_scan_does_not_matter(mr, rng, factor):
    values = rng.gamma(2.0, 10.0, size=300)
    values[::3] = 0
    np.testing.assert_allclose(mr(values * factor), mr(values), atol=1e-5)


def test_negative_values_are_normalised_like_others(mr):
    np.testing.assert_allclose(mr([-30.0, -10.0]), [-1.0, 1.0], rtol=1e-6)


@pytest.mark.parametrize("value", [0.1, 7.0, -3.0, 1_700_000.0])
def test_a_scan_of_zeros_and_one_other_value_stays_small(mr, value):
    sign = np.sign(value)
    np.testing.assert_allclose(mr([0, value, value, 0, value]), [-sign, 0, 0, -sign, 0], atol=1e-6)


def test_each_channel_has_its_own_scale(phantom_task, rng):
    voxels = rng.gamma(2.0, 10.0, size=(2, 4, 5, 6))
    voxels[1] *= 1000
    found = intensity.normalise(voxels, phantom_task, {})
    assert found.shape == (2, 4, 5, 6)
    np.testing.assert_allclose(found.mean(axis=(1, 2, 3)), 0, atol=1e-5)


def test_integers_are_not_changed_in_place(mr):
    voxels = np.array([1, 5, 9, 1000], dtype=np.int16)
    mr(voxels)
    assert voxels.tolist() == [1, 5, 9, 1000]


def test_ct_is_clipped_shifted_and_scaled_by_the_statistics_of_the_training_set(hippocampus_task):
    scale = Window(lower=-50.0, upper=150.0, mean=50.0, deviation=25.0)
    voxels = np.array([-1024, -50, 0, 50, 100, 3071], dtype=np.int16).reshape(1, -1, 1, 1)
    found = intensity.normalise(voxels, hippocampus_task, {"t1": scale})
    assert found.dtype == np.float32
    np.testing.assert_allclose(found.ravel(), [-4, -4, -2, 0, 2, 4])


def test_a_window_holds_the_statistics_of_its_values():
    found = intensity.window(np.arange(1001, dtype=np.float32))
    assert (found.lower, found.upper) == pytest.approx((5.0, 995.0))
    assert found.mean == 500
    assert found.deviation == pytest.approx(np.sqrt((1001**2 - 1) / 12))  # of 1001 even steps


def test_a_window_of_equal_values_can_still_be_divided_by():
    assert intensity.window(np.full(5, 40, dtype=np.float32)).deviation > 0


def test_pieces_of_a_large_scan_make_the_whole(phantom_task, rng, monkeypatch):
    voxels = rng.gamma(2.0, 10.0, size=(2, 5, 6, 7)).astype(np.float32)
    voxels[:, 1] = 0
    expected = intensity.normalise(voxels, phantom_task, {})
    monkeypatch.setattr(intensity, "PIECE_VOXELS", 100)
    pieces = list(intensity.normalised_pieces(voxels.transpose(0, 3, 1, 2), phantom_task, {}))
    assert [piece.shape for piece in pieces] == [(2, 1, 5, 6)] * 7
    found = np.concatenate(pieces, axis=1).transpose(0, 2, 3, 1)
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("dtype", [np.int16, np.float32, np.float64])
def test_the_scale_is_that_of_numpys_percentiles_mean_and_deviation(dtype, rng):
    values = (rng.gamma(2.0, 100.0, size=(13, 17, 11)) - 30).astype(dtype)
    inside = values[values != 0].astype(np.float64)
    low, high = np.percentile(inside, (0.5, 99.5))
    clipped = np.clip(inside, low, high)
    found = intensity.own_window(values[::-1].transpose(2, 0, 1))
    assert (found.lower, found.upper) == pytest.approx((low, high), rel=1e-12)
    assert (found.mean, found.deviation) == pytest.approx((clipped.mean(), clipped.std()))
