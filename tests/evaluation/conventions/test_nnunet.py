import numpy as np
import pytest

from medseg.evaluation.conventions import nnunet
from medseg.evaluation.pair import Pair

NAN = float("nan")


def line(*filled):
    mask = np.zeros((12, 3, 3), dtype=bool)
    mask[list(filled), 1, 1] = True
    return mask


def scores(reference, prediction):
    return nnunet.compute(Pair(reference, prediction, (2.0, 1.0, 5.0)))


@pytest.mark.parametrize(
    ("reference", "prediction", "expected"),
    [
        (line(1), line(), {"dice": 0.0, "iou": 0.0}),
        (line(), line(1), {"dice": 0.0, "iou": 0.0}),
        (line(), line(), {"dice": NAN, "iou": NAN}),
    ],
)
def test_empty_masks_count_as_documented(reference, prediction, expected):
    assert scores(reference, prediction) == pytest.approx(expected, nan_ok=True)


def test_two_of_six_voxels_are_shared():
    assert scores(line(0, 1, 2), line(1, 2, 3, 4, 5)) == {"dice": 4 / 8, "iou": 2 / 6}
