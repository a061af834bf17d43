import numpy as np
import pytest

from medseg.evaluation.conventions import transunet
from medseg.evaluation.pair import Pair


def line(*filled):
    mask = np.zeros((12, 3, 3), dtype=bool)
    mask[list(filled), 1, 1] = True
    return mask


def scores(reference, prediction):
    return transunet.compute(Pair(reference, prediction, (2.0, 1.0, 5.0)))


@pytest.mark.parametrize(
    ("reference", "prediction", "expected"),
    [
        (line(1), line(), {"dice": 0.0, "hd95_voxels": 0.0}),
        (line(), line(1), {"dice": 1.0, "hd95_voxels": 0.0}),
        (line(), line(), {"dice": 0.0, "hd95_voxels": 0.0}),
    ],
)
def test_empty_masks_count_as_documented(reference, prediction, expected):
    assert scores(reference, prediction) == pytest.approx(expected, nan_ok=True)


def test_distances_are_pooled_and_in_voxels():
    # 6 voxels and eight zeros: position 7.6 is 0.6 * 6
    values = scores(line(0, 1, 2, 3, 9), line(0, 1, 2, 3))
    assert values["hd95_voxels"] == pytest.approx(3.6)
