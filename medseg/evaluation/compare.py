"""Comparison of models that were scored on the same cases: which is better, and is it chance?"""

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
from jaxtyping import Float64

from medseg.errors import UsageError
from medseg.evaluation import bootstrap, score_table, significance
from medseg.evaluation.score_table import Paired

LEVEL: Final = 0.05
"""A difference is called one if its corrected p-value is below."""

_MOST_EXTREME: Final = 5


@dataclass(frozen=True)
class Difference:
    """Two models in one metric and region.

    Attributes:
        first: A model.
        second: Another.
        mean: The mean over the cases of the first's values minus the second's.
        interval: The 95 % bootstrap interval of that mean; NaN for fewer than two cases.
        p_value: Of Wilcoxon's signed-rank test.
        p_corrected: The same by Holm's method, for all tests of the comparison.
        superiority: The share of the cases in which the first is better; a tie counts half.
        better: The better model, if the corrected p-value is below 0.05 and the interval
            excludes 0; else None.
    """

    first: str
    second: str
    mean: float
    interval: tuple[float, float]
    p_value: float
    p_corrected: float
    superiority: float
    better: str | None = None


@dataclass(frozen=True)
class Finding:
    """All models in one metric and region.

    Attributes:
        metric: Its column, such as `hd95_mm`.
        higher_is_better: Its direction.
        region: The region; None for the mean over the regions that a case holds.
        cases: How many cases hold it.
        means: The mean over these cases by model; NaN without cases.
        first: By model, how often it has the best mean when cases are drawn anew.
        differences: Of every two models; none without cases.
    """

    metric: str
    higher_is_better: bool
    region: str | None
    cases: int
    means: Mapping[str, float]
    first: Mapping[str, float]
    differences: tuple[Difference, ...]


@dataclass(frozen=True)
class Extreme:
    """A case in which two models differ much, and the region in which they differ most.

    Attributes:
        metric: Its column.
        first: A model.
        second: Another.
        case: The case.
        region: The region.
        values: The first's value and the second's.
    """

    metric: str
    first: str
    second: str
    case: str
    region: str
    values: tuple[float, float]


@dataclass(frozen=True, eq=False)
class Comparison:
    """What was found.

    Attributes:
        paired: The scores.
        findings: By metric, then by region, at last over all regions if there are several.
        extremes: For every metric and two models the five cases that differ most.
        draws: How often cases were drawn by the bootstrap.
        seed: Of the bootstrap.
    """

    paired: Paired
    findings: tuple[Finding, ...]
    extremes: tuple[Extreme, ...]
    draws: int
    seed: int

    @property
    def tests(self) -> int:
        """The number of tests that Holm's method corrects for."""
        return sum(len(finding.differences) for finding in self.findings)


def read(places: Sequence[Path], *, wanted: Sequence[str] = ()) -> Paired:
    """Read and pair tables of scores.

    Args:
        places: `scores.csv` files, or the folders they lie in.
        wanted: Metrics by column or name; if empty all that every table has.

    Raises:
        UsageError: Fewer than two tables or one of them twice, or a metric is not there.
        DataError: A table cannot be read, or does not fit the others.
    """
    if len(places) < 2:
        raise UsageError("one model alone cannot be compared", remedy="Name the scores of two")
    return score_table.pair([score_table.read(place) for place in places], wanted=wanted)


def compare(paired: Paired, *, draws: int = bootstrap.DRAWS, seed: int = 0) -> Comparison:
    """Compare the models in every metric, for every region and over all regions.

    Over all regions a case counts with the mean over the regions that it holds, so that every
    case weighs the same; where regions are absent this is not the mean of `medseg evaluate`, in
    which every region weighs the same.

    Args:
        paired: Their scores.
        draws: How often the bootstrap draws cases.
        seed: The same seed gives the same numbers.
    """
    regions = [*paired.regions, None] if len(paired.regions) > 1 else list(paired.regions)
    findings = [
        _finding(paired, metric, region, draws, seed)
        for metric in paired.higher_is_better
        for region in regions
    ]
    return Comparison(paired, _corrected(findings), tuple(_extremes(paired)), draws, seed)


def values_of(
    paired: Paired, metric: str, region: str | None
) -> Float64[np.ndarray, "held models"]:
    """Return the values of the cases that hold `region`, or over the regions if it is None."""
    values = paired.values[metric]
    if region is not None:
        values = values[:, [paired.regions.index(region)]]
    known = ~np.isnan(values[..., 0])
    held = known.any(axis=1)
    totals = np.where(known[..., None], values, 0.0).sum(axis=1)
    return totals[held] / known.sum(axis=1)[held, None]


def _finding(paired: Paired, metric: str, region: str | None, draws: int, seed: int) -> Finding:
    values = values_of(paired, metric, region)
    higher_is_better = paired.higher_is_better[metric]
    cases = len(values)
    means = first = np.full(len(paired.models), np.nan)
    differences: tuple[Difference, ...] = ()
    if cases:
        pairs = list(itertools.combinations(range(len(paired.models)), 2))
        paired_differences = np.stack([values[:, a] - values[:, b] for a, b in pairs], axis=1)
        both = np.concatenate([values, paired_differences], axis=1)
        drawn = bootstrap.drawn_means(both, draws=draws, seed=seed)
        drawn_models, drawn_differences = np.split(drawn, [len(paired.models)], axis=1)
        means = values.mean(axis=0)
        first = bootstrap.share_first(drawn_models, higher_is_better=higher_is_better)
        differences = tuple(
            _difference(
                (paired.models[a], paired.models[b]),
                paired_differences[:, place],
                drawn_differences[:, place],
                higher_is_better=higher_is_better,
            )
            for place, (a, b) in enumerate(pairs)
        )
    return Finding(
        metric=metric,
        higher_is_better=higher_is_better,
        region=region,
        cases=cases,
        means=dict(zip(paired.models, means.tolist(), strict=True)),
        first=dict(zip(paired.models, first.tolist(), strict=True)),
        differences=differences,
    )


def _difference(
    models: tuple[str, str],
    differences: Float64[np.ndarray, " held"],
    drawn: Float64[np.ndarray, " draws"],
    *,
    higher_is_better: bool,
) -> Difference:
    p_value = significance.wilcoxon(differences)
    return Difference(
        *models,
        mean=float(differences.mean()),
        interval=bootstrap.ends(drawn) if len(differences) > 1 else (math.nan, math.nan),
        p_value=p_value,
        p_corrected=p_value,
        superiority=significance.superiority(differences, higher_is_better=higher_is_better),
    )


def _corrected(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    p_values = [difference.p_value for finding in findings for difference in finding.differences]
    corrected = iter(significance.holm(np.array(p_values, dtype=np.float64)).tolist())
    return tuple(
        replace(
            finding,
            differences=tuple(
                _judged(
                    replace(difference, p_corrected=next(corrected)),
                    higher_is_better=finding.higher_is_better,
                )
                for difference in finding.differences
            ),
        )
        for finding in findings
    )


def _judged(difference: Difference, *, higher_is_better: bool) -> Difference:
    low, high = difference.interval
    if difference.p_corrected >= LEVEL or not (low > 0 or high < 0):
        return difference
    first_is_better = (low > 0) == higher_is_better
    return replace(difference, better=difference.first if first_is_better else difference.second)


def _extremes(paired: Paired) -> Iterator[Extreme]:
    pairs = list(itertools.combinations(range(len(paired.models)), 2))
    for (metric, values), (one, other) in itertools.product(paired.values.items(), pairs):
        sizes = np.nan_to_num(np.abs(values[..., one] - values[..., other]))
        most = sizes.max(axis=1)
        for case in np.argsort(-most, kind="stable")[:_MOST_EXTREME]:
            if most[case] > 0:
                region = int(sizes[case].argmax())
                both = (float(values[case, region, one]), float(values[case, region, other]))
                models = paired.models[one], paired.models[other]
                yield Extreme(metric, *models, paired.cases[case], paired.regions[region], both)
