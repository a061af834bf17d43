import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from monai.data import MetaTensor
from monai.transforms import Orientation
from scipy.ndimage import affine_transform

from medseg.volume import (
    Grid,
    Volume,
    inverse,
    lies_inside,
    nearest,
    order_to_ras,
    reorder,
    resampled_grid,
    to_ras,
    upright,
)

SHAPE = (3, 4, 5)


def rotation(degrees):
    angle = np.deg2rad(degrees)
    cosine, sine = np.cos(angle), np.sin(angle)
    about_z = np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]])
    about_x = np.array([[1, 0, 0], [0, cosine, -sine], [0, sine, cosine]])
    return about_z @ about_x


def affine_of(order, signs, degrees=0.0, spacing_mm=(1.4, 0.8, 10.0)):
    affine = np.eye(4)
    affine[:3, :3] = rotation(degrees) @ (np.eye(3)[:, order] * signs) * spacing_mm
    affine[:3, 3] = (-31.5, 12.25, 87.0)
    return affine


ALL_48 = [
    (order, signs)
    for order in itertools.permutations(range(3))
    for signs in itertools.product((1, -1), repeat=3)
]


def volume_of(affine, channels=2, shape=SHAPE):
    voxels = np.arange(channels * np.prod(shape)).reshape(channels, *shape)
    return Volume(voxels, Grid(shape, affine))


def places(volume):
    """Every voxel's value with its world coordinates, by the definition of an affine."""
    indices = np.argwhere(np.ones(volume.grid.shape, dtype=bool))
    world = indices @ volume.affine[:3, :3].T + volume.affine[:3, 3]
    values = volume.voxels[:, *indices.T]
    rounded = np.round(world, 6) + 0.0
    return {tuple(v): tuple(place) for v, place in zip(values.T, rounded, strict=True)}


@pytest.mark.parametrize("degrees", [0, 17])
@pytest.mark.parametrize(("order", "signs"), ALL_48)
def test_turning_to_ras_moves_no_voxel_in_the_patient(order, signs, degrees):
    volume = volume_of(affine_of(order, signs, degrees))
    turned = to_ras(volume)
    assert places(turned) == places(volume)
    assert (np.diag(turned.affine)[:3] > 0).all()


@pytest.mark.parametrize(("order", "signs"), ALL_48)
def test_turning_to_ras_agrees_with_monai(order, signs):
    volume = volume_of(affine_of(order, signs, degrees=17))
    tensor = MetaTensor(torch.from_numpy(volume.voxels), affine=torch.from_numpy(volume.affine))
    expected = Orientation(axcodes="RAS", labels=(("L", "R"), ("P", "A"), ("I", "S")))(tensor)
    turned = to_ras(volume)
    assert np.array_equal(turned.voxels, np.asarray(expected.array))
    assert turned.affine == pytest.approx(np.asarray(expected.affine), abs=1e-6)


@given(st.permutations(range(3)), st.tuples(*[st.booleans()] * 3))
def test_an_order_and_its_inverse_leave_an_image_alone(axes, flips):
    first, second, third = zip(axes, flips, strict=True)
    order = (first, second, third)
    voxels = np.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5)
    assert np.array_equal(reorder(reorder(voxels, order), inverse(order)), voxels)
    assert np.array_equal(reorder(reorder(voxels, inverse(order)), order), voxels)


def test_reordering_makes_a_view():
    voxels = np.zeros((1, 3, 4, 5))
    assert np.shares_memory(reorder(voxels, ((2, True), (0, False), (1, True))), voxels)


def test_an_axis_halfway_between_two_is_used_once():
    # i and j both run along x more than along y: the one nearer to x gets it.
    affine = np.eye(4)
    affine[:3, 0] = (0.8, 0.6, 0)
    affine[:3, 1] = (0.9, -0.43, 0)
    axes = [axis for axis, _ in order_to_ras(affine)]
    assert axes == [1, 0, 2]


def test_spacing_and_diagonal_by_hand():
    grid = Grid(SHAPE, affine_of((2, 0, 1), (1, -1, 1), degrees=17))
    assert grid.spacing_mm == pytest.approx((1.4, 0.8, 10.0))


def test_a_sheared_grid_is_not_orthonormal():
    affine = affine_of((0, 1, 2), (1, 1, 1), degrees=17)
    assert Grid(SHAPE, affine).is_orthonormal
    sheared = affine.copy()
    sheared[:3, 0] += 0.01 * affine[:3, 1]
    assert not Grid(SHAPE, sheared).is_orthonormal


def test_a_sheared_voxel_has_the_volume_of_its_determinant():
    affine = np.diag([2.0, 3.0, 5.0, 1.0])
    affine[1, 2] = 4.0  # (0, 4, 5) is longer than 5, but no higher
    assert Grid(SHAPE, affine).voxel_ml == pytest.approx(0.03)
    assert Grid(SHAPE, affine).shear == pytest.approx(4 / 41**0.5)


def test_upright_is_the_same_box_however_its_axes_run():
    plain = Grid((3, 4, 5), np.diag([1.0, 2.0, 3.0, 1.0]))
    turned = np.array([[0, 0, -1.0, 2], [2, 0, 0, 0], [0, -3.0, 0, 12], [0, 0, 0, 1]])
    assert upright(Grid((4, 5, 3), turned)).matches(plain)
    assert upright(plain).matches(plain)


def test_centres_lie_inside_up_to_the_outer_faces():
    box = Grid((2, 1, 1), np.eye(4))  # from -0.5 to 1.5
    fine = Grid((6, 1, 1), np.diag([0.5, 1.0, 1.0, 1.0]))  # centres at 0, 0.5, 1, 1.5, 2, 2.5
    assert lies_inside(fine, box)[:, 0, 0].tolist() == [True, True, True, False, False, False]


def test_grids_match_if_all_corners_do():
    affine = np.eye(4)
    grid = Grid((101, 5, 5), affine)
    nearly, off = affine.copy(), affine.copy()
    nearly[0, 0] += 0.5e-4  # the last of 101 voxels is 0.005 mm off
    off[0, 0] += 2e-4  # the last is 0.02 mm off
    assert grid.matches(Grid((101, 5, 5), nearly))
    assert not grid.matches(Grid((101, 5, 5), off))
    assert not grid.matches(Grid((101, 5, 6), affine))


def test_voxels_that_do_not_fill_the_grid_are_refused():
    with pytest.raises(ValueError, match=r"shape \(3, 4, 5\) do not fill a grid of \(3, 4, 6\)"):
        Volume(np.zeros((1, 3, 4, 5)), Grid((3, 4, 6), np.eye(4)))


def test_a_volume_has_the_place_of_its_grid():
    volume = volume_of(np.diag([2.0, 3.0, 4.0, 1.0]))
    assert volume.affine is volume.grid.affine
    assert volume.spacing_mm == (2.0, 3.0, 4.0)


def test_resampling_keeps_the_outer_faces():
    # Ten voxels of 2 mm from face to face: 20 mm, from -1 to 19. Eight of 2.5 mm: the first
    # centre lies at -1 + 1.25.
    grid = resampled_grid(Grid((10, 10, 10), np.diag([2.0, 2.0, 2.0, 1.0])), (2.5, 2.0, 1.0))
    assert grid.shape == (8, 10, 20)
    assert grid.spacing_mm == pytest.approx((2.5, 2.0, 1.0))
    assert grid.affine[:3, 3] == pytest.approx([0.25, 0.0, -0.5])


@pytest.mark.parametrize(("order", "signs"), ALL_48[::5])
@pytest.mark.parametrize("spacing_mm", [(1.0, 1.0, 1.0), (2.0, 0.5, 7.0), (300.0, 1.0, 1.0)])
def test_resampling_keeps_the_box_in_the_world(order, signs, spacing_mm):
    grid = Grid((9, 8, 7), affine_of(order, signs, degrees=17))
    found = resampled_grid(grid, spacing_mm)
    for corner in itertools.product((0, 1), repeat=3):
        before = grid.affine @ (*(np.array(corner) * grid.shape - 0.5), 1)
        after = found.affine @ (*(np.array(corner) * found.shape - 0.5), 1)
        assert after == pytest.approx(before)
    assert min(found.shape) >= 1


def test_resampling_puts_voxels_where_torch_interpolates_between_faces(rng):
    grid = Grid((12, 10, 8), affine_of((2, 0, 1), (1, -1, 1), degrees=17, spacing_mm=(1, 1, 2)))
    found = resampled_grid(grid, (2.0, 1.0, 1.0))
    assert found.shape == (6, 10, 16)
    image = rng.random(grid.shape)
    change = np.linalg.inv(grid.affine) @ found.affine
    ours = affine_transform(
        image, change[:3, :3], change[:3, 3], output_shape=found.shape, order=1, mode="nearest"
    )
    theirs = torch.nn.functional.interpolate(
        torch.from_numpy(image)[None, None], size=found.shape, mode="trilinear", align_corners=False
    )
    assert ours == pytest.approx(theirs[0, 0].numpy(), abs=1e-9)


def test_the_nearest_label_by_hand():
    # voxels of 2 mm with centres at 0, 2, 4; those of 1 mm from -1 on have centres at -1, 0, ... 6
    label_map = np.array([1, 2, 3], dtype=np.uint8).reshape(3, 1, 1)
    source = Grid((3, 1, 1), np.diag([2.0, 1.0, 1.0, 1.0]))
    affine = np.eye(4)
    affine[0, 3] = -1.25
    target = Grid((8, 1, 1), affine)
    # centres at -1.25, -0.25, 0.75, 1.75, 2.75, 3.75, 4.75, 5.75; voxels reach from -1 to 5
    found = nearest(label_map, source, target)
    assert found.ravel().tolist() == [0, 1, 1, 2, 2, 3, 3, 0]
    assert found.dtype == np.uint8


def test_a_centre_between_two_voxels_takes_the_later():
    label_map = np.array([1, 2, 3, 4], dtype=np.uint8).reshape(4, 1, 1)
    source = Grid((4, 1, 1), np.eye(4))
    coarse = resampled_grid(source, (2.0, 1.0, 1.0))
    assert nearest(label_map, source, coarse).ravel().tolist() == [2, 4]


def test_the_nearest_label_on_the_same_grid_is_the_label(rng):
    affine = np.eye(4)
    affine[:3, :3] = rng.normal(size=(3, 3))
    grid = Grid((5, 6, 7), affine)
    label_map = rng.integers(0, 119, grid.shape)
    assert np.array_equal(nearest(label_map, grid, grid), label_map)


def test_flipped_and_permuted_axes_are_followed(rng):
    label_map = rng.integers(0, 5, (4, 5, 6)).astype(np.uint8)
    affine = np.diag([1.4, 0.7, 10.0, 1.0])
    source = Grid((4, 5, 6), affine)
    change = np.array([[0, -1, 0, 3], [0, 0, 1, 0], [1, 0, 0, 0], [0, 0, 0, 1.0]])
    target = Grid((6, 4, 5), affine @ change)
    expected = label_map[::-1].transpose(2, 0, 1)
    assert np.array_equal(nearest(label_map, source, target), expected)


def test_the_nearest_label_is_simpleitk_s_on_oblique_grids(rng):
    import SimpleITK

    label_map = rng.integers(0, 9, (9, 8, 7)).astype(np.uint8)
    angle = np.deg2rad(13)
    turn = np.array(
        [[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1.0]]
    )
    image = SimpleITK.GetImageFromArray(label_map.transpose(2, 1, 0))
    image.SetSpacing((1.1, 0.9, 2.3))
    image.SetDirection(turn.ravel().tolist())
    shape = (12, 11, 6)
    expected = SimpleITK.Resample(
        image, shape, SimpleITK.Transform(), SimpleITK.sitkNearestNeighbor, (-0.37, 0.21, 0.53),
        (0.83, 0.83, 2.1), np.eye(3).ravel().tolist(), 0,
    )  # fmt: skip
    source, target = np.eye(4), np.diag([0.83, 0.83, 2.1, 1.0])
    source[:3, :3] = turn * (1.1, 0.9, 2.3)
    target[:3, 3] = (-0.37, 0.21, 0.53)
    found = nearest(label_map, Grid((9, 8, 7), source), Grid(shape, target))
    assert np.array_equal(found, SimpleITK.GetArrayFromImage(expected).transpose(2, 1, 0))


@pytest.mark.parametrize("degrees", [0, 17])
def test_a_reordered_and_cropped_grid_shares_its_voxels(degrees):
    grid = Grid(SHAPE, affine_of((1, 0, 2), (1, -1, 1), degrees))
    cropped = grid.affine.copy()
    cropped[:3, 3] += grid.affine[:3, :3] @ (1, -2, 3)
    assert grid.shares_voxels_with(Grid((9, 9, 9), cropped))
    assert grid.shares_voxels_with(upright(grid))
    moved = grid.affine.copy()
    moved[:3, 3] += grid.affine[:3, :3] @ (0.5, 0, 0)
    assert not grid.shares_voxels_with(Grid(SHAPE, moved))


def test_a_grid_of_other_spacing_or_angle_shares_no_voxels():
    grid = Grid(SHAPE, affine_of((0, 1, 2), (1, 1, 1)))
    assert not grid.shares_voxels_with(resampled_grid(grid, (0.7, 0.4, 5.0)))
    assert not grid.shares_voxels_with(resampled_grid(grid, (2.8, 1.6, 20.0)))
    turned = affine_of((0, 1, 2), (1, 1, 1), degrees=2, spacing_mm=(1.4, 0.8, 10.0))
    assert not grid.shares_voxels_with(Grid((50, 50, 50), turned))
