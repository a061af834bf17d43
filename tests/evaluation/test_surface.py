import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from medseg.evaluation import surface

masks = hnp.arrays(np.bool_, hnp.array_shapes(min_dims=3, max_dims=3, min_side=1, max_side=6))


def test_a_cube_of_three_has_every_voxel_but_its_centre_on_the_surface():
    mask = np.zeros((5, 5, 5), dtype=bool)
    mask[1:4, 1:4, 1:4] = True
    expected = mask.copy()
    expected[2, 2, 2] = False
    assert np.array_equal(surface.surface(mask), expected)


def test_outside_the_image_counts_as_outside_the_mask():
    full = np.ones((4, 4, 4), dtype=bool)
    expected = np.ones((4, 4, 4), dtype=bool)
    expected[1:3, 1:3, 1:3] = False
    assert np.array_equal(surface.surface(full), expected)


def test_a_neighbour_over_an_edge_does_not_make_a_surface_voxel():
    mask = np.ones((5, 5, 5), dtype=bool)
    mask[1, 1, 2] = False  # shares an edge, not a face, with (2, 2, 2)
    assert not surface.surface(mask)[2, 2, 2]


@given(masks)
def test_the_surface_is_what_erosion_takes_away(mask):
    eroded = ndimage.binary_erosion(mask)  # outside the image is 0, neighbours share a face
    assert np.array_equal(surface.surface(mask), mask & ~eroded)


def test_distances_are_measured_in_millimetres():
    start, end = np.zeros((2, 9, 9, 9), dtype=bool)
    start[1, 1, 1] = True
    end[3, 4, 2] = True
    # 2 x 1.4, 3 x 1.4, 1 x 10
    expected = (2.8**2 + 4.2**2 + 10.0**2) ** 0.5
    measured = surface.distances_mm(start, end, (1.4, 1.4, 10.0))
    assert measured == pytest.approx([expected], abs=1e-12)


def test_sparse_and_crowded_masks_are_measured_alike(rng):
    sparse = np.zeros((20, 20, 20), dtype=bool)
    sparse[3:6, 3:6, 3:6] = rng.random((3, 3, 3)) < 0.5
    goal = np.zeros((20, 20, 20), dtype=bool)
    goal[12, 9, 7] = goal[2, 15, 18] = True
    whole = surface.distances_mm(sparse, goal, (1.0, 2.0, 3.0))
    box = (slice(2, 13), slice(3, 16), slice(3, 19))
    crowd = goal[box] | (np.indices((11, 13, 16))[0] == 0)
    direct = np.sqrt(
        ((np.argwhere(~crowd)[:, None] - np.argwhere(crowd)[None]) ** 2 * (1, 4, 9)).sum(-1)
    ).min(1)
    assert len(whole) == sparse.sum()
    assert surface.distances_mm(~crowd, crowd, (1.0, 2.0, 3.0)) == pytest.approx(direct, abs=1e-9)


@given(masks, st.sampled_from([(1.0, 1.0, 1.0), (1.4, 1.4, 10.0), (0.3, 2.0, 0.7)]))
def test_distances_are_those_of_all_pairs(mask, spacing_mm):
    start, end = mask, np.roll(mask, 1, axis=0)
    if not mask.any():
        with pytest.raises(ValueError, match="empty mask"):
            surface.distances_mm(start, end, spacing_mm)
        return
    steps = (np.argwhere(start)[:, None] - np.argwhere(end)[None]) * np.array(spacing_mm)
    expected = np.sqrt((steps**2).sum(axis=2)).min(axis=1)
    measured = surface.distances_mm(start, end, spacing_mm)
    assert np.sort(measured) == pytest.approx(np.sort(expected), abs=1e-9)
