import numpy as np
import pytest

from medseg.evaluation.conventions import brats2023
from medseg.evaluation.pair import Pair


def cubes(*starts):
    """Cubes of 4 voxels, 64 mm3 each."""
    mask = np.zeros((40, 10, 10), dtype=bool)
    for start in starts:
        mask[start : start + 4, 2:6, 2:6] = True
    return mask


def scores(reference, prediction):
    return brats2023.compute(Pair(reference, prediction, (1.0, 1.0, 1.0)))


@pytest.mark.parametrize(
    ("reference", "prediction", "expected"),
    [
        (cubes(1), cubes(), {"dice": 0.0, "hd95_mm": 374.0, "detection_f1": 0.0}),
        (cubes(), cubes(1), {"dice": 0.0, "hd95_mm": 374.0, "detection_f1": 0.0}),
        (cubes(), cubes(), {"dice": 1.0, "hd95_mm": 0.0, "detection_f1": 1.0}),
    ],
)
def test_empty_masks_count_as_documented(reference, prediction, expected):
    assert scores(reference, prediction) == pytest.approx(expected, nan_ok=True)


def test_a_lesion_found_and_one_missed_share_the_score():
    # the first is moved by one voxel: Dice 48 * 2 / 128, HD95 1 mm; the second costs 0 and 374
    values = scores(cubes(2, 20), cubes(3))
    assert values["dice"] == pytest.approx(0.75 / 2)
    assert values["hd95_mm"] == pytest.approx((1 + 374) / 2)
    assert values["detection_f1"] == pytest.approx(2 / 3)


def test_a_false_alarm_costs_as_much_as_a_miss():
    values = scores(cubes(3), cubes(2, 20))
    assert values["dice"] == pytest.approx(0.75 / 2)
    assert values["hd95_mm"] == pytest.approx((1 + 374) / 2)


def test_a_small_lesion_alone_is_as_none():
    small = cubes()
    small[2:5, 2:6, 2:6] = True  # 48 mm3
    assert scores(small, cubes()) == {"dice": 1.0, "hd95_mm": 0.0, "detection_f1": 1.0}
