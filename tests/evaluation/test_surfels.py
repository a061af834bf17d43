import math

import numpy as np
import pytest

from medseg.evaluation import surfels


def cube(size, *starts):
    mask = np.zeros((14, 14, 14), dtype=bool)
    mask[tuple(slice(start, start + size) for start in starts)] = True
    return mask


def test_a_large_cube_has_about_the_area_of_its_faces():
    # a face of 6 by 6 voxels has 25 corners inside, of area 1 each; edges and corners are cut
    one, _ = surfels.between(cube(6, 3, 3, 3), cube(6, 3, 3, 3), (1.0, 1.0, 1.0))
    # 12 edges of 5 slanted elements of sqrt(2) / 2, 8 corners of sqrt(3) / 8
    expected = 6 * 25 + 12 * 5 * math.sqrt(2) / 2 + 8 * math.sqrt(3) / 8
    assert one.area_within_mm2(0.0) == pytest.approx(expected)
    assert len(one.areas_mm2) == 6 * 25 + 12 * 5 + 8


def test_a_mask_and_its_complement_have_one_surface():
    mask = cube(6, 3, 3, 3)
    one, other = surfels.between(mask, ~mask, (1.0, 1.4, 10.0))
    assert one.area_within_mm2(0.0) == pytest.approx(other.area_within_mm2(0.0))


def test_the_percentile_is_the_distance_that_covers_the_area():
    surface = surfels.Surfels(np.array([0.0, 1.0, 2.0]), np.array([94.0, 2.0, 4.0]))
    assert surface.percentile_mm(94) == 0.0
    assert surface.percentile_mm(95) == 1.0
    assert surface.percentile_mm(97) == 2.0
    assert surface.area_within_mm2(1.0) == 96.0


def test_an_empty_mask_is_refused():
    with pytest.raises(ValueError, match="empty mask"):
        surfels.between(cube(2, 1, 1, 1), np.zeros((14, 14, 14), dtype=bool), (1.0, 1.0, 1.0))
