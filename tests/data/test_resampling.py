import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from medseg.data import resampling
from medseg.volume import Grid, resampled_grid

SHAPES = st.tuples(*[st.integers(1, 9)] * 3)


def centres(length, wanted):
    """Input coordinates of the output voxels, written out from the definition."""
    return [(n + 0.5) * length / wanted - 0.5 for n in range(wanted)]


@settings(max_examples=60, deadline=None)
@given(shape=SHAPES, wanted=SHAPES, rows=st.integers(1, 9), seed=st.integers(0, 99))
def test_it_is_torchs_trilinear_interpolation_in_slabs_of_any_size(shape, wanted, rows, seed):
    voxels = np.random.default_rng(seed).normal(size=(2, *shape)).astype(np.float32)
    expected = torch.nn.functional.interpolate(
        torch.from_numpy(voxels)[None], size=wanted, mode="trilinear"
    )[0]
    found = np.concatenate(list(resampling.slabs([voxels], shape[0], wanted, rows=rows)), axis=1)
    assert found.shape == (2, *wanted)
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-5)
    np.testing.assert_allclose(found, resampling.resample(voxels, wanted), atol=1e-6)


@pytest.mark.parametrize("wanted", [(20, 7, 11), (5, 18, 6), (9, 9, 30), (3, 4, 5)])
def test_it_is_scipys_linear_interpolation_at_voxel_centres(wanted, rng):
    voxels = rng.normal(size=(1, 9, 10, 11)).astype(np.float32)
    places = np.meshgrid(*map(centres, voxels.shape[1:], wanted), indexing="ij")
    expected = ndimage.map_coordinates(voxels[0], places, order=1, mode="nearest")
    np.testing.assert_allclose(resampling.resample(voxels, wanted)[0], expected, atol=1e-5)


@pytest.mark.parametrize("axis", [1, 2, 3])
def test_a_linear_ramp_stays_a_ramp(axis):
    voxels = np.zeros((1, 6, 6, 6), dtype=np.float32)
    voxels += np.arange(6, dtype=np.float32).reshape([-1 if n == axis else 1 for n in range(4)])
    found = np.moveaxis(resampling.resample(voxels, (14, 14, 14)), axis, 1)[0, :, 3, 5]
    np.testing.assert_allclose(found, np.clip(centres(6, 14), 0, 5), atol=1e-5)


def test_a_value_holds_outside_the_outermost_centres():
    voxels = np.array([2.0, 4.0], dtype=np.float32).reshape(1, 2, 1, 1)
    found = resampling.resample(voxels, (4, 1, 1))[0, :, 0, 0]
    np.testing.assert_allclose(found, [2.0, 2.5, 3.5, 4.0])


@pytest.mark.parametrize("spacing_mm", [(1.5, 1.5, 1.5), (0.5, 0.8, 2.0)])
def test_monai_puts_the_same_values_at_the_same_places_in_the_patient(spacing_mm, rng):
    # MONAI keeps the centre of the first voxel by default, medseg the faces of the box; with
    # `scale_extent` MONAI keeps the box too. The two agree in the interior; at the border MONAI's
    # own padding decides.
    from monai.data import MetaTensor
    from monai.transforms import Spacing

    voxels = ndimage.gaussian_filter(rng.normal(size=(24, 20, 30)), 1.5)[None].astype(np.float32)
    affine = np.diag([1.0, 1.0, 1.0, 1.0])
    affine[:3, 3] = (-7, 3, 11)
    grid = resampled_grid(Grid((24, 20, 30), affine), spacing_mm)
    resample = Spacing(pixdim=spacing_mm, mode="bilinear", scale_extent=True, dtype=np.float64)
    reference = resample(MetaTensor(torch.from_numpy(voxels), affine=torch.from_numpy(affine)))
    places = np.linalg.inv(np.asarray(reference.affine)) @ grid.affine
    indices = np.stack(np.meshgrid(*map(np.arange, grid.shape), indexing="ij")).reshape(3, -1)
    where = places[:3, :3] @ indices + places[:3, 3:]
    expected = ndimage.map_coordinates(np.asarray(reference[0]), where, order=1, mode="nearest")
    found = resampling.resample(voxels, grid.shape)[0]
    inside = (slice(3, -3),) * 3
    np.testing.assert_allclose(found[inside], expected.reshape(grid.shape)[inside], atol=0.02)


def test_the_same_shape_is_returned_as_it_is(rng):
    voxels = rng.normal(size=(1, 3, 4, 5)).astype(np.float32)
    assert resampling.resample(voxels, (3, 4, 5)) is voxels
    pieces = list(resampling.slabs([voxels], 3, (3, 4, 5), rows=2))
    assert [len(piece[0]) for piece in pieces] == [2, 1]
    np.testing.assert_array_equal(np.concatenate(pieces, axis=1), voxels)


def test_read_only_and_reversed_voxels_are_taken_without_a_warning(rng):
    voxels = rng.normal(size=(1, 4, 4, 4)).astype(np.float32)
    expected = resampling.resample(voxels, (8, 4, 4))
    frozen = voxels.copy()
    frozen.flags.writeable = False
    np.testing.assert_array_equal(resampling.resample(frozen, (8, 4, 4)), expected)
    np.testing.assert_allclose(
        resampling.resample(voxels[:, ::-1], (8, 4, 4)), expected[:, ::-1], atol=1e-6
    )


def in_pieces(voxels, cuts):
    """Voxels cut along i; each piece is spoilt when the next one is asked for."""
    for piece in np.split(voxels, sorted(cut % (voxels.shape[1] + 1) for cut in cuts), axis=1):
        lent = piece.copy()
        yield lent
        lent[:] = np.nan


@settings(max_examples=60)
@given(
    shape=SHAPES, wanted=SHAPES, cuts=st.lists(st.integers(0, 9), max_size=5), seed=st.integers()
)
def test_pieces_of_any_thickness_give_what_the_whole_gives(shape, wanted, cuts, seed):
    voxels = np.random.default_rng(abs(seed)).normal(size=(2, *shape)).astype(np.float32)
    expected = torch.nn.functional.interpolate(
        torch.from_numpy(voxels)[None], size=wanted, mode="trilinear"
    )[0]
    pieces = resampling.slabs(in_pieces(voxels, cuts), shape[0], wanted)
    found = resampling.joined((piece.copy() for piece in pieces), 2, wanted)
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-5)


@pytest.mark.parametrize("length", [3, 5])
def test_too_many_or_too_few_planes_are_refused(length):
    pieces = [np.zeros((1, 2, 3, 3), np.float32)] * 2
    with pytest.raises(ValueError, match=f"have 4 planes instead of {length}"):
        list(resampling.slabs(pieces, length, (6, 3, 3)))


def test_a_slab_holds_no_more_than_it_may(monkeypatch):
    monkeypatch.setattr(resampling, "SLAB_BYTES", 2 * 4 * 5 * 36)
    slabs = resampling.slabs([np.ones((5, 4, 3, 3), np.float32)], 4, (9, 6, 6))
    assert [slab.shape for slab in slabs].count((5, 2, 6, 6)) >= 3


def test_half_precision_is_taken_and_answered_in_float32(rng):
    voxels = rng.normal(size=(2, 5, 4, 3)).astype(np.float16)
    (found,) = resampling.slabs([voxels], 5, (5, 4, 3))
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, voxels)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("planes", [2, 7, 15])
def test_along_one_axis_the_nearest_plane_can_be_taken(axis, planes, rng):
    voxels = rng.normal(size=(2, 5, 6, 7)).astype(np.float32)
    wanted = tuple(planes if n == axis else 9 for n in range(3))
    pieces = resampling.slabs(in_pieces(voxels, [2, 3]), 5, wanted, rows=4, nearest=axis)
    found = resampling.joined(pieces, 2, wanted)
    places = list(np.meshgrid(*map(centres, voxels.shape[1:], wanted), indexing="ij"))
    places[axis] = np.floor(places[axis] + 0.5)
    for channel, expected in zip(found, voxels, strict=True):
        whole = ndimage.map_coordinates(expected, places, order=1, mode="nearest")
        np.testing.assert_allclose(channel, whole, atol=1e-5)


@given(
    shape=SHAPES,
    wanted=SHAPES,
    corner=st.tuples(*[st.integers(0, 8)] * 3),
    size=st.tuples(*[st.integers(1, 9)] * 3),
    order=st.permutations(range(3)),
)
def test_a_part_of_a_result_is_made_of_the_part_of_the_source_that_it_needs(
    shape, wanted, corner, size, order
):
    voxels = np.random.default_rng(5).normal(size=(2, *shape)).astype(np.float32)
    starts = [min(start, length - 1) for start, length in zip(corner, wanted, strict=True)]
    i, j, k = (
        slice(start, min(start + length, most))
        for start, length, most in zip(starts, size, wanted, strict=True)
    )
    whole = resampling.resample(voxels, wanted)
    source, cut = resampling.cut_for((i, j, k), shape, wanted)
    part = voxels[(slice(None), *source)]
    made = resampling.sizes((i, j, k))
    pieces = resampling.slabs([part], part.shape[1], made, rows=2, cut=cut)
    found = resampling.joined(pieces, 2, made)
    np.testing.assert_array_equal(found, whole[:, i, j, k])
    turned = [1 + axis for axis in order]  # the same along other axes
    a, b, c = (made[axis] for axis in order)
    pieces = resampling.slabs(
        [part.transpose(0, *turned)], part.shape[turned[0]], (a, b, c), cut=cut.ordered(order)
    )
    found = resampling.joined(pieces, 2, (a, b, c))
    np.testing.assert_allclose(found, whole[:, i, j, k].transpose(0, *turned), atol=1e-5)


def test_what_a_part_needs_touches_and_is_enough_for_is_counted_by_hand():
    # 4 voxels from 6: their centres lie at 0.25, 1.75, 3.25 and 4.75
    assert resampling.needed(slice(1, 3), 6, 4) == slice(1, 5)
    assert resampling.touched(slice(2, 4), 6, 4) == slice(1, 3)
    assert resampling.complete(slice(1, 6), 6, 4) == slice(1, 4)
    assert resampling.complete(slice(2, 6), 6, 4, nearest=True) == slice(1, 4)
    # 2 from 8: at 1.5 and 5.5, so that 3 and 4 have no share
    assert resampling.touched(slice(3, 5), 8, 2) == slice(0, 0)
    # 8 from 2: the outermost of the first value alone
    assert resampling.complete(slice(0, 1), 2, 8) == slice(0, 2)


def test_a_part_of_the_source_that_is_not_enough_is_refused():
    _, cut = resampling.cut_for((slice(1, 3), slice(0, 6), slice(0, 6)), (6, 6, 6), (4, 6, 6))
    with pytest.raises(ValueError, match="too few planes along axis 0"):
        list(resampling.slabs([np.zeros((1, 3, 6, 6), np.float32)], 3, (2, 6, 6), cut=cut))
