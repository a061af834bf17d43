"""What keeps a reference and its prediction from being compared on one grid."""

import re
from pathlib import Path

import numpy as np
import pytest

from medseg.errors import DataError
from medseg.evaluation.one_grid import onto, require_perpendicular, require_same_place
from medseg.segmentation import Segmentation
from medseg.volume import Grid

PATH = Path("b.nii.gz")
KNOWN = Grid((4, 4, 4), np.diag([2.0, 2.0, 5.0, 1.0]))


def moved(*mm, shape=(4, 4, 4), spacing_mm=(2.0, 2.0, 5.0)):
    affine = np.diag([*spacing_mm, 1.0])
    affine[:3, 3] = mm
    return Grid(shape, affine)


def filled(grid, task, *places):
    label_map = np.zeros(grid.shape, dtype=np.uint8)
    for place in places:
        label_map[place] = 1
    return Segmentation(label_map, grid, task)


def test_what_was_predicted_beyond_the_reference_is_refused_with_its_volume(hippocampus_task):
    # two slices more at the top, in which a wild false positive lies: 2 x 2 x 2 voxels of 20 mm3
    higher = moved(0, 0, 0, shape=(4, 4, 6))
    wild = filled(higher, hippocampus_task, np.s_[1:3, 1:3, 1], np.s_[0:2, 0:2, 4:6])
    with pytest.raises(DataError, match=r"b\.nii\.gz: labels 0\.16 mL outside its reference's box"):
        onto(wild, KNOWN, PATH)


def test_what_was_predicted_inside_the_reference_is_kept(hippocampus_task):
    higher = moved(0, 0, -5, shape=(4, 4, 6))
    inside = filled(higher, hippocampus_task, np.s_[1:3, 1:3, 1])
    assert np.argwhere(onto(inside, KNOWN, PATH).label_map).tolist() == [
        *([1, 1, 0], [1, 2, 0], [2, 1, 0], [2, 2, 0])
    ]


def test_where_the_prediction_does_not_reach_nothing_was_found(hippocampus_task):
    lower = filled(moved(0, 0, 0, shape=(4, 4, 2)), hippocampus_task, np.s_[:, :, 1])
    assert onto(lower, KNOWN, PATH).label_map.sum(axis=(0, 1)).tolist() == [0, 16, 0, 0]


def test_a_voxel_that_reaches_over_the_border_counts_by_its_centre(hippocampus_task):
    # one voxel of 12 mm from -3 to 9 mm; its centre at 3 mm lies in the reference, -1 to 7 mm
    coarse = moved(3, 3, 7.5, shape=(1, 1, 1), spacing_mm=(12.0, 12.0, 30.0))
    assert onto(filled(coarse, hippocampus_task, np.s_[:]), KNOWN, PATH).label_map.all()


def test_boxes_that_do_not_overlap_are_refused_even_if_nothing_was_predicted(hippocampus_task):
    away = filled(moved(0, 0, 500), hippocampus_task)
    with pytest.raises(DataError, match="the two boxes do not overlap"):
        onto(away, KNOWN, PATH)


def test_the_same_grid_needs_nothing(hippocampus_task):
    same = filled(KNOWN, hippocampus_task, np.s_[1, 1, 1])
    assert onto(same, KNOWN, PATH) is same


def test_axes_that_run_otherwise_are_told_from_another_place():
    # the same voxels stored with i and j reversed, as LPS programs do
    reversed_axes = Grid((4, 4, 4), np.diag([-2.0, -2.0, 5.0, 1.0]))
    reversed_axes.affine[:2, 3] = 6.0
    both = {"prediction": PATH, "reference": Path("a.nii.gz")}
    said = r"axes in another order or direction than its reference a\.nii\.gz.*--resample"
    with pytest.raises(DataError, match=said):
        require_same_place(reversed_axes, KNOWN, **both)
    with pytest.raises(DataError, match="lies elsewhere in the patient"):
        require_same_place(moved(0, 0, 2.5), KNOWN, **both)
    with pytest.raises(DataError, match=re.escape("has the shape (4, 4, 3)")):
        require_same_place(moved(0, 0, 0, shape=(4, 4, 3)), KNOWN, **both)
    require_same_place(moved(0, 0, 0), KNOWN, **both)


def sheared(degrees):
    """A gantry-tilted CT: the slices are pushed along j."""
    affine = np.eye(4)
    affine[1, 2] = np.tan(np.radians(degrees))
    return Grid((4, 4, 4), affine)


def test_a_tilted_gantry_is_refused_and_rounding_is_not():
    with pytest.raises(DataError, match=r"axes at an angle of 75\.0 degrees"):
        require_perpendicular(sheared(15), PATH)
    require_perpendicular(sheared(0.5), PATH)
    require_perpendicular(KNOWN, PATH)
