"""How scores differ from case to case: median, standard deviation, interval of the mean."""

import math
from collections.abc import Iterable

import numpy as np

from medseg.evaluation import bootstrap

Summary = float | list[float] | None


def spread(values: Iterable[float]) -> dict[str, Summary]:
    """Describe the scores of one region, ready for JSON.

    Args:
        values: One score for each case; NaN, where the region is absent, is left out.

    Returns:
        `median`, `standard_deviation` (of the sample, from two cases on) and `interval_95` (the
        bootstrap interval of the mean, from two cases on); null where that is not known or not
        finite, as where a convention scores a missed structure as infinite.
    """
    known = np.array([value for value in values if not math.isnan(value)], dtype=np.float64)
    finite = bool(np.isfinite(known).all())
    several = finite and len(known) > 1
    median = float(np.median(known)) if len(known) else math.nan
    return {
        "median": median if math.isfinite(median) else None,
        "standard_deviation": float(known.std(ddof=1)) if several else None,
        "interval_95": list(bootstrap.interval(known)) if several else None,
    }
