"""Whether paired differences are more than chance: tests, their correction, their effect size."""

import numpy as np
from jaxtyping import Float64

_DECIMALS = 12  # differences that are equal but for rounding are ties


def wilcoxon(differences: Float64[np.ndarray, " cases"]) -> float:
    """Return the two-sided p-value of Wilcoxon's signed-rank test; 1 if nothing differs.

    Zero differences are left out, as Wilcoxon did. SciPy chooses: the p-value is exact for few
    cases (50 without ties), else by the normal approximation.

    Source: Wilcoxon 1945, https://doi.org/10.2307/3001968
    """
    from scipy.stats import wilcoxon as signed_rank

    rounded = np.round(differences, _DECIMALS)
    differing = rounded[rounded != 0]
    return float(signed_rank(differing).pvalue) if differing.size else 1.0


def holm(p_values: Float64[np.ndarray, " tests"]) -> Float64[np.ndarray, " tests"]:
    """Correct p-values for the number of tests, so that one false finding in all is improbable.

    Source: Holm 1979, A simple sequentially rejective multiple test procedure,
    https://www.jstor.org/stable/4615733
    """
    order = np.argsort(p_values, kind="stable")
    remaining = np.arange(len(p_values), 0, -1)
    corrected = np.empty_like(p_values)
    corrected[order] = np.maximum.accumulate(np.minimum(1.0, remaining * p_values[order]))
    return corrected


def superiority(differences: Float64[np.ndarray, " cases"], *, higher_is_better: bool) -> float:
    """Return the share of the cases in which the first model is better; a tie counts half.

    Args:
        differences: The first model's values minus the second's, at least one.
        higher_is_better: The direction of the metric.

    Source: Vargha, Delaney 2000, https://doi.org/10.3102/10769986025002101, for pairs
    """
    signs = np.sign(np.round(differences, _DECIMALS))
    oriented = signs if higher_is_better else -signs
    return float(np.mean((oriented + 1) / 2))
