"""Metrics: one module each, found by its name.

The convention for empty masks is called `medseg`, and every metric follows it. Both masks empty:
NaN, left out of the mean, counted as absent. One empty: the worst value there is, counted as missed
(the prediction is empty) or false alarm (the reference is): 0 for an overlap, the image's diagonal
for a distance, the image's volume for a difference of volumes. No prediction does worse than an
empty one, so that a missed structure never improves a mean.
"""

from typing import Protocol, cast, runtime_checkable

import medseg.evaluation.metrics as this_package
from medseg import registry
from medseg.evaluation.pair import Pair


@runtime_checkable
class Metric(Protocol):
    """What a metric's module offers.

    Attributes:
        UNIT: Unit of its values, empty for a ratio.
        HIGHER_IS_BETTER: Its direction.
    """

    UNIT: str
    HIGHER_IS_BETTER: bool

    def compute(self, pair: Pair) -> float:
        """Compare the two masks of `pair`; NaN if both are empty."""


def names() -> list[str]:
    """Return the names of the metrics, sorted."""
    return registry.names(this_package)


def load(name: str) -> Metric:
    """Return the metric called `name`.

    Raises:
        ValueError: There is no such metric; the message lists those there are.
    """
    return cast(Metric, registry.load(this_package, name))


def columns() -> dict[str, Metric]:
    """Return every metric by the heading of its column: its name, then its unit."""
    metrics = {name: load(name) for name in names()}
    return {
        f"{name}_{metric.UNIT}" if metric.UNIT else name: metric for name, metric in metrics.items()
    }
