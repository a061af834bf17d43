import numpy as np
import pytest

from medseg.evaluation.conventions import deepmind
from medseg.evaluation.pair import Pair

NAN, INF = float("nan"), float("inf")


def line(*filled):
    mask = np.zeros((12, 3, 3), dtype=bool)
    mask[list(filled), 1, 1] = True
    return mask


def scores(reference, prediction):
    return deepmind.compute(Pair(reference, prediction, (2.0, 1.0, 5.0)))


@pytest.mark.parametrize(
    ("reference", "prediction", "expected"),
    [
        (line(1), line(), {"dice": 0.0, "hd95_mm": INF, "nsd": 0.0}),
        (line(), line(1), {"dice": 0.0, "hd95_mm": INF, "nsd": 0.0}),
        (line(), line(), {"dice": NAN, "hd95_mm": INF, "nsd": NAN}),
    ],
)
def test_empty_masks_count_as_documented(reference, prediction, expected):
    assert scores(reference, prediction) == pytest.approx(expected, nan_ok=True)


def test_a_voxel_moved_by_three_is_six_mm_off_and_not_interpolated():
    # of the eight corners, those four that lie away from the other voxel are 6 mm from it
    values = scores(line(0), line(3))
    assert values["hd95_mm"] == 6.0
    assert values["nsd"] == 0.0
