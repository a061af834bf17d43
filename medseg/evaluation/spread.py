"""How scores differ from case to case: median, standard deviation, interval of the mean."""

import math

import numpy as np
from jaxtyping import Float64

Summary = float | list[float] | None


def spread(
    values: Float64[np.ndarray, " cases"], interval: Float64[np.ndarray, " 2"]
) -> dict[str, Summary]:
    """Describe the scores of one region, ready for JSON.

    Args:
        values: One score for each case; NaN, where the region is absent, is left out.
        interval: The bootstrap interval of the mean.

    Returns:
        `median`, `standard_deviation` (of the sample, from two cases on) and `interval_95`; null
        where that is not known or not finite, as where a convention scores a missed structure as
        infinite.
    """
    known = values[~np.isnan(values)]
    several = len(known) > 1 and bool(np.isfinite(known).all())
    median = float(np.median(known)) if len(known) else math.nan
    return {
        "median": median if math.isfinite(median) else None,
        "standard_deviation": float(known.std(ddof=1)) if several else None,
        "interval_95": None if np.isnan(interval).any() else interval.tolist(),
    }
