import numpy as np

from medseg.evaluation import metrics
from medseg.evaluation.conventions import medseg
from medseg.evaluation.pair import Pair


def test_it_has_every_metric_and_keeps_the_first_two_names():
    mask = np.ones((3, 3, 3), dtype=bool)
    values = medseg.compute(Pair(mask, mask, (1.0, 1.0, 1.0)))
    assert list(values) == list(metrics.columns())
    assert {"dice", "hd95_mm"} <= set(values)
