from types import SimpleNamespace

import numpy as np
import pytest

from medseg.evaluation.pair import Pair, Status, require_spacing

UNIT_MM = (1.0, 1.0, 1.0)


def dot(*place, shape=(7, 8, 9)):
    mask = np.zeros(shape, dtype=bool)
    if place:
        mask[place] = True
    return mask


@pytest.mark.parametrize(
    ("reference", "prediction", "status"),
    [
        (dot(1, 1, 1), dot(2, 2, 2), Status.BOTH),
        (dot(1, 1, 1), dot(), Status.MISSED),
        (dot(), dot(1, 1, 1), Status.FALSE_ALARM),
        (dot(), dot(), Status.ABSENT),
    ],
)
def test_the_status_tells_which_masks_are_empty(reference, prediction, status):
    assert Pair(reference, prediction, UNIT_MM).status is status


def test_the_diagonal_is_that_of_the_image_and_not_of_the_masks():
    assert Pair(dot(), dot(), (2.0, 0.5, 4.0)).diagonal_mm == pytest.approx(
        (14.0**2 + 4.0**2 + 36.0**2) ** 0.5
    )


def test_the_crop_holds_both_masks_and_no_more():
    pair = Pair(dot(1, 2, 3), dot(4, 2, 5), UNIT_MM)
    reference, prediction = pair.cropped
    assert reference.shape == prediction.shape == (4, 1, 3)
    assert reference[0, 0, 0]
    assert prediction[3, 0, 2]


def test_two_empty_masks_crop_to_nothing():
    assert Pair(dot(), dot(), UNIT_MM).cropped[0].size == 0


def test_distances_are_computed_once():
    pair = Pair(dot(1, 1, 1), dot(4, 1, 1), UNIT_MM)
    assert pair.distances_mm is pair.distances_mm
    assert [distances.tolist() for distances in pair.distances_mm] == [[3.0], [3.0]]


def test_masks_of_different_shapes_are_refused():
    # the checks of signatures that run with the tests would refuse them first
    masks = SimpleNamespace(reference=dot(), prediction=dot(shape=(7, 8, 8)), spacing_mm=UNIT_MM)
    with pytest.raises(ValueError, match="resample one onto the other"):
        Pair.__post_init__(masks)


@pytest.mark.parametrize("step", [0.0, -1.0, float("nan"), float("inf")])
def test_a_spacing_that_is_no_length_is_refused(step):
    with pytest.raises(ValueError, match="three positive numbers"):
        Pair(dot(), dot(), (1.0, step, 1.0))


@pytest.mark.parametrize(
    "wrong", [1.0, (1.0, 1.0), (1.0, 0.0, 1.0), (1.0, 1.0, np.nan), (1.0, -1.0, 1.0), "1mm", None]
)
def test_a_spacing_is_three_positive_numbers(wrong):
    with pytest.raises(ValueError, match="must be three positive numbers, the distance between"):
        require_spacing(wrong)


def test_a_spacing_may_be_any_three_numbers():
    assert require_spacing(np.array([1, 2, 3])) == (1.0, 2.0, 3.0)


def test_the_volume_of_a_voxel_may_be_told():
    assert Pair(dot(1, 1, 1), dot(), (2.0, 2.0, 2.0)).volumes_ml == (0.008, 0.0)
    assert Pair(dot(1, 1, 1), dot(), (2.0, 2.0, 2.0), voxel_mm3=7.5).volumes_ml == (0.0075, 0.0)
