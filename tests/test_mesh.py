"""Tests of medseg.mesh."""

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from medseg import mesh
from medseg.volume import Grid


def grid_of(shape, spacing_mm=(1.0, 1.0, 1.0), *, reverse=False):
    affine = np.eye(4)
    turned = Rotation.from_euler("xyz", [20, -15, 40], degrees=True).as_matrix()
    affine[:3, :3] = turned * spacing_mm
    affine[:3, 3] = [12, -500, 1000]
    if reverse:
        affine[:3, 0] *= -1
    return Grid(shape, affine)


def ball(shape, centre, radius_mm, spacing_mm=(1.0, 1.0, 1.0)):
    places = np.moveaxis(np.indices(shape), 0, -1)
    return (((places - centre) * spacing_mm) ** 2).sum(axis=-1) <= radius_mm**2


@pytest.mark.parametrize("reverse", [False, True])
def test_a_ball_has_the_volume_of_its_voxels_and_the_radius_it_was_drawn_with(reverse):
    spacing_mm = (0.8, 1.2, 2.5)
    mask = ball((40, 30, 18), (20, 15, 9), 10.0, spacing_mm)
    grid = grid_of(mask.shape, spacing_mm, reverse=reverse)
    surface = mesh.of_mask(mask, grid)
    assert surface.volume_ml == pytest.approx(mask.sum() * 0.8 * 1.2 * 2.5 / 1000, rel=1e-3)
    centre_mm = grid.affine[:3] @ [20, 15, 9, 1]
    radii_mm = np.linalg.norm(surface.points_mm - centre_mm, axis=1)
    assert abs(radii_mm - 10).max() < 1.8  # less than a slice
    assert radii_mm.mean() == pytest.approx(10, abs=0.25)


@pytest.mark.parametrize(
    "mask",
    [
        ball((20, 20, 20), (0, 10, 19), 6.0),  # cut off by the border
        np.ones((3, 4, 5), dtype=bool),  # all there is
        np.pad(np.ones((12, 1, 1), dtype=bool), 3),  # as thin as can be
        np.pad(np.ones((1, 1, 1), dtype=bool), 1),
    ],
    ids=["cut", "full", "thin", "voxel"],
)
def test_every_surface_is_closed_and_of_the_masks_volume(mask):
    surface = mesh.of_mask(mask, grid_of(mask.shape))
    edges = Counter(
        edge
        for triangle in surface.triangles.tolist()
        for edge in pairwise([*triangle, triangle[0]])
    )
    assert all(edges[b, a] == count for (a, b), count in edges.items())
    assert surface.volume_ml == pytest.approx(mask.sum() / 1000, rel=1e-2)


def test_corners_lie_where_the_affine_puts_the_voxels():
    mask = np.zeros((9, 9, 9), dtype=bool)
    mask[2:5, 3:6, 4:7] = True
    grid = grid_of(mask.shape)
    back = (mesh.of_mask(mask, grid).points_mm - grid.affine[:3, 3]) @ np.linalg.inv(
        grid.affine[:3, :3]
    ).T
    assert back.min(axis=0) == pytest.approx([1.5, 2.5, 3.5], abs=0.3)
    assert back.max(axis=0) == pytest.approx([4.5, 5.5, 6.5], abs=0.3)


def test_nothing_has_no_triangles():
    surface = mesh.of_mask(np.zeros((4, 4, 4), dtype=bool), grid_of((4, 4, 4)))
    assert (len(surface.triangles), surface.volume_ml) == (0, 0.0)
