import numpy as np
import pytest

from medseg.evaluation.conventions import medpy
from medseg.evaluation.pair import Pair

NAN = float("nan")


def line(*filled):
    mask = np.zeros((12, 3, 3), dtype=bool)
    mask[list(filled), 1, 1] = True
    return mask


def scores(reference, prediction):
    return medpy.compute(Pair(reference, prediction, (2.0, 1.0, 5.0)))


@pytest.mark.parametrize(
    ("reference", "prediction", "expected"),
    [
        (line(1), line(), {"dice": 0.0, "hd95_mm": NAN, "assd_mm": NAN}),
        (line(), line(1), {"dice": 0.0, "hd95_mm": NAN, "assd_mm": NAN}),
        (line(), line(), {"dice": 1.0, "hd95_mm": NAN, "assd_mm": NAN}),
    ],
)
def test_empty_masks_count_as_documented(reference, prediction, expected):
    assert scores(reference, prediction) == pytest.approx(expected, nan_ok=True)


def test_the_percentile_is_that_of_both_directions_in_one_pool():
    # 12 mm and eight zeros: position 7.6 is 0.6 * 12
    values = scores(line(0, 1, 2, 3, 9), line(0, 1, 2, 3))
    assert values["hd95_mm"] == pytest.approx(7.2)
    assert values["assd_mm"] == pytest.approx(12 / 9)
