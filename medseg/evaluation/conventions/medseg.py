"""Medseg's own convention: no prediction scores worse than an empty one.

Percentile: the larger of the two directed ones, interpolated linearly, between the centres of
surface voxels. A surface voxel has a face neighbour outside the mask.

Empty masks: both: NaN, left out of the mean, counted as absent. One: the worst value there is,
counted as missed or false alarm: 0 for an overlap, the image's diagonal for a distance, the image's
volume for a difference of volumes.
"""

from typing import Final

from medseg.evaluation import metrics
from medseg.evaluation.pair import Pair

SOURCE: Final = "medseg/evaluation/metrics"


def compute(pair: Pair) -> dict[str, float]:
    """Compute every metric there is."""
    return {column: metric.compute(pair) for column, metric in metrics.columns().items()}
