import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

from medseg import task as tasks
from medseg.report import slices
from medseg.segmentation import Segmentation
from medseg.volume import Grid, Volume

TASK = tasks.read("hippocampus")
SPACING_MM = (1.0, 2.0, 4.0)


def stand(found, known=None, voxels=None, affine=None, window=(0.0, 255.0)):
    grid = Grid(found.shape, np.diag([*SPACING_MM, 1.0]) if affine is None else affine)
    scan = np.zeros(found.shape, np.float32) if voxels is None else voxels
    reference = None if known is None else Segmentation(known, grid, TASK)
    return slices.stand(
        Volume(scan[None], grid), Segmentation(found, grid, TASK), reference, window
    )


def box():
    labels = np.zeros((20, 10, 6), np.uint8)
    labels[2:5, 4:6, 1:3] = 1
    return labels


def pixels(drawing):
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(drawing.image))))


def corners(path):
    return np.array([[float(x), float(y)] for x, y in re.findall(r"([\d.-]+) ([\d.-]+)", path)])


def test_the_planes_are_measured_in_millimetres_and_cut_where_most_is():
    axial, coronal, sagittal = slices.three_planes(stand(box()))
    assert [each.plane for each in (axial, coronal, sagittal)] == ["axial", "coronal", "sagittal"]
    sizes = [(each.wide_mm, each.high_mm) for each in (axial, coronal, sagittal)]
    assert sizes == [(20, 20), (20, 24), (20, 24)]
    assert [each.place for each in (axial, coronal, sagittal)] == ["k = 1", "j = 4", "i = 2"]


def test_the_patients_right_and_front_are_on_the_left_and_above():
    axial, coronal, sagittal = slices.three_planes(stand(box()))
    assert axial.sides == ("R", "L", "P", "A")
    assert coronal.sides == ("R", "L", "I", "S")
    assert sagittal.sides == ("A", "P", "I", "S")
    outline = corners(axial.outlines[0].path)
    # i from 2 to 5 of 20 is the patient's left: right on the page; j from 4 to 6 of 10: the middle
    assert (outline[:, 0].min(), outline[:, 0].max()) == pytest.approx((15, 18), abs=0.51)
    assert (outline[:, 1].min(), outline[:, 1].max()) == pytest.approx((8, 12), abs=1.01)


def test_the_picture_lies_as_its_outline_does():
    voxels = 200.0 * box().astype(np.float32)
    axial = slices.three_planes(stand(box(), voxels=voxels))[0]
    rows, columns = np.nonzero(pixels(axial) > 100)
    assert (columns.min(), columns.max()) == (15, 17)
    assert (rows.min(), rows.max()) == (4, 5)


def test_a_mirrored_file_is_drawn_the_same():
    voxels = np.random.default_rng(0).uniform(0, 255, (20, 10, 6)).astype(np.float32)
    flipped = np.diag([*SPACING_MM, 1.0])
    flipped[0, 0], flipped[0, 3] = -SPACING_MM[0], 19 * SPACING_MM[0]
    plain = slices.three_planes(stand(box(), voxels=voxels))
    turned = slices.three_planes(stand(box()[::-1], voxels=voxels[::-1], affine=flipped))
    for one, other in zip(plain, turned, strict=True):
        assert (pixels(one) == pixels(other)).all()
        assert one.outlines == other.outlines
    assert turned[2].place == "i = 17"


def test_outlines_have_the_labels_colour_and_say_whose_they_are():
    known = box()
    known[2:5, 4:6, 1:3] = 2
    axial = slices.three_planes(stand(box(), known))[0]
    found, reference = axial.outlines
    assert (found.colour, found.is_reference) == (TASK.labels["anterior"].colour, False)
    assert (reference.colour, reference.is_reference) == (TASK.labels["posterior"].colour, True)
    assert axial.dice == 0
    assert axial.differing_mm2 == 3 * 2 * 1.0 * 2.0


def test_the_window_decides_what_is_black_and_white():
    voxels = np.full((20, 10, 6), 50.0, np.float32)
    voxels[0], voxels[1], voxels[2] = -100, 100, np.nan
    axial = slices.three_planes(stand(box(), voxels=voxels, window=(0.0, 100.0)))[0]
    assert pixels(axial)[0, [-1, -2, -3, -4]].tolist() == [0, 255, 0, 128]


def test_the_worst_slices_come_first_and_stand_apart():
    found, known = np.zeros((40, 10, 20), np.uint8), np.zeros((40, 10, 20), np.uint8)
    for place, size in ((2, 3), (3, 9), (10, 5), (15, 0), (17, 2)):
        found[:size, 0, place] = 1
    known[5, 5, 15] = found[5, 5, 15] = 1
    grid = np.diag([2.0, 2.0, 2.0, 1.0])
    case = stand(found, known, affine=grid)
    worst = slices.worst(case)
    assert [each.place for each in worst] == ["k = 3", "k = 10", "k = 17"]  # 2 is beside 3
    assert [each.differing_mm2 for each in worst] == [36, 20, 8]
    assert len(slices.worst(case, most=1)) == 1


def test_without_reference_or_difference_there_is_no_worst_slice():
    assert slices.worst(stand(box())) == []
    assert slices.worst(stand(box(), box())) == []


def test_where_nothing_was_found_the_reference_or_the_middle_is_shown():
    nothing = np.zeros((20, 10, 6), np.uint8)
    assert slices.three_planes(stand(nothing, box()))[2].place == "i = 2"
    middle = slices.three_planes(stand(nothing))
    assert [each.place for each in middle] == ["k = 3", "j = 5", "i = 10"]
    assert middle[0].outlines == ()
    assert middle[0].dice is None
