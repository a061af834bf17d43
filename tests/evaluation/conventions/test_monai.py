import numpy as np
import pytest

from medseg.evaluation.conventions import monai
from medseg.evaluation.pair import Pair

NAN, INF = float("nan"), float("inf")


def line(*filled):
    mask = np.zeros((12, 3, 3), dtype=bool)
    mask[list(filled), 1, 1] = True
    return mask


def scores(reference, prediction):
    return monai.compute(Pair(reference, prediction, (2.0, 1.0, 5.0)))


@pytest.mark.parametrize(
    ("reference", "prediction", "expected"),
    [
        (line(1), line(), {"dice": 0.0, "hd95_mm": NAN, "nsd": 0.0, "assd_mm": INF}),
        (line(), line(1), {"dice": NAN, "hd95_mm": NAN, "nsd": 0.0, "assd_mm": INF}),
        (line(), line(), {"dice": NAN, "hd95_mm": NAN, "nsd": NAN, "assd_mm": NAN}),
    ],
)
def test_empty_masks_count_as_documented(reference, prediction, expected):
    assert scores(reference, prediction) == pytest.approx(expected, nan_ok=True)


def test_the_percentile_is_the_larger_of_the_two_directed_ones():
    # there: 0, 0, 0, 0, 12 mm, of which position 3.8 is 0.8 * 12; back: none
    values = scores(line(0, 1, 2, 3, 9), line(0, 1, 2, 3))
    assert values["hd95_mm"] == pytest.approx(9.6)
    assert values["dice"] == pytest.approx(8 / 9)
