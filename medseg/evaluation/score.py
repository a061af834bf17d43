"""Scores of regions and cases, and what they amount to: means, intervals, counts."""

import csv
import io
import math
import os
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
from jaxtyping import Float64

from medseg.evaluation import bootstrap, conventions, region_pairs
from medseg.evaluation.pair import Pair, Status
from medseg.evaluation.spread import Summary, spread
from medseg.segmentation import Segmentation

DEFAULT: Final = "medseg"
"""The convention that counts unless another is asked for."""

SIZES: Final = (
    *("reference_ml", "prediction_ml", "volume_error_ml", "volume_error_percent"),
    *("reference_components", "prediction_components", "reference_holes", "prediction_holes"),
)
"""What a table of scores tells beside the metrics; an error is signed, in % of the reference."""

Grid = Float64[np.ndarray, "cases regions"]
Intervals = tuple[Float64[np.ndarray, "regions 2"], tuple[float, float]]

_MANY_VOXELS: Final = 100_000
"""From which on threads save more time than it takes to start them."""


@dataclass(frozen=True)
class Score:
    """One region of one case.

    Attributes:
        case: The case.
        region: The region, or the label if the task has no regions.
        values: The metrics by column, such as `hd95_mm`.
        status: Whether reference and prediction hold the region.
        volumes_ml: Volume in the reference and in the prediction; NaN where not measured.
        components: Number of connected components in either; NaN where not counted.
        holes: Number of enclosed cavities in either; NaN where not counted.
    """

    case: str
    region: str
    values: Mapping[str, float]
    status: Status
    volumes_ml: tuple[float, float] = (math.nan, math.nan)
    components: tuple[float, float] = (math.nan, math.nan)
    holes: tuple[float, float] = (math.nan, math.nan)

    @property
    def sizes(self) -> tuple[float, ...]:
        """What was measured of both sides, in the order of `SIZES`."""
        known, found = self.volumes_ml
        percent = 100 * (found - known) / known if known else math.nan
        return (known, found, found - known, percent, *self.components, *self.holes)


@dataclass(frozen=True)
class Scores:
    """The scores of all cases.

    Attributes:
        rows: One score for each region of each case.
        without_reference: Predictions beside the chosen cases of which nothing is known.
        convention: What they mean; a module of `medseg.evaluation.conventions`.
    """

    rows: tuple[Score, ...]
    without_reference: tuple[str, ...] = ()
    convention: str = DEFAULT

    @cached_property
    def cases(self) -> list[str]:
        """The cases in the order they were scored."""
        return list(dict.fromkeys(row.case for row in self.rows))

    @cached_property
    def regions(self) -> list[str]:
        """The regions in the order of the task."""
        return list(dict.fromkeys(row.region for row in self.rows))

    @cached_property
    def columns(self) -> list[str]:
        """The metrics by column, such as `dice` and `hd95_mm`."""
        return list(dict.fromkeys(column for row in self.rows for column in row.values))

    def region_mean(self, column: str, region: str) -> float:
        """Return the mean of a metric over the cases; NaN if the region is absent from all."""
        return float(self._region_means[column][self.regions.index(region)])

    def mean(self, column: str) -> float:
        """Return the mean over the regions of their means over the cases.

        A region that is absent from every case is left out; NaN if all are. Every region weighs
        the same, however many cases hold it.
        """
        if column not in self._region_means:
            return math.nan  # nothing was scored
        return float(_means(self._region_means[column][:, None])[0])

    def interval(self, column: str) -> tuple[float, float]:
        """Return the 95 % bootstrap interval over cases of `mean`.

        NaN at both ends for fewer than two cases, and where a value is infinite.
        """
        return self._intervals(column)[1]

    def count(self, status: Status, region: str | None = None) -> int:
        """Count the scores of `status`, of one region or of all."""
        if region is not None:
            return self._counted[region, status]
        return sum(self._counted[each, status] for each in self.regions)

    def summary(self) -> dict[str, Any]:
        """Return the means and counts, ready for JSON; null stands for what is not finite."""
        return {
            "convention": self.convention,
            "cases": len(self.cases),
            "mean": {column: _or_none(self.mean(column)) for column in self.columns},
            "interval_95": {column: self._interval_or_none(column) for column in self.columns},
            **self._counts(),
            "regions": {
                region: {
                    "mean": {
                        column: _or_none(self.region_mean(column, region))
                        for column in self.columns
                    },
                    **self._spread(region),
                    **self._counts(region),
                }
                for region in self.regions
            },
            "without_reference": list(self.without_reference),
        }

    def table(self) -> str:
        """Return the scores as CSV: case, region, the metrics, status, `SIZES`."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["case", "region", *self.columns, "status", *SIZES])
        for row in self.rows:
            values = [repr(row.values[column]) for column in self.columns]
            sizes = [repr(size) for size in row.sizes[:4]] + [f"{n:.0f}" for n in row.sizes[4:]]
            writer.writerow([row.case, row.region, *values, row.status.value, *sizes])
        return text.getvalue()

    def _spread(self, region: str) -> dict[str, dict[str, Summary]]:
        """Describe each metric of a region beyond its mean: by quantity, then by metric."""
        place = self.regions.index(region)
        by_column = {
            column: spread(self._grids[column][:, place], self._intervals(column)[0][place])
            for column in self.columns
        }
        quantities = ("median", "standard_deviation", "interval_95")
        return {
            quantity: {column: found[quantity] for column, found in by_column.items()}
            for quantity in quantities
        }

    def _interval_or_none(self, column: str) -> list[float] | None:
        low, high = self.interval(column)
        return None if math.isnan(low) else [low, high]

    @cached_property
    def _grids(self) -> dict[str, Grid]:
        """Every metric by case and region; NaN where a case lacks the region's row."""
        rows = {case: row for row, case in enumerate(self.cases)}
        places = {region: place for place, region in enumerate(self.regions)}
        grids = {column: np.full((len(rows), len(places)), np.nan) for column in self.columns}
        for score in self.rows:
            row, place = rows[score.case], places[score.region]
            for column, value in score.values.items():
                grids[column][row, place] = value
        return grids

    @cached_property
    def _region_means(self) -> dict[str, Float64[np.ndarray, " regions"]]:
        return {column: _means(grid) for column, grid in self._grids.items()}

    @cached_property
    def _counted(self) -> Counter[tuple[str, Status]]:
        return Counter((row.region, row.status) for row in self.rows)

    @cached_property
    def _found_intervals(self) -> dict[str, Intervals]:
        return {}

    def _intervals(self, column: str) -> Intervals:
        """Return the interval of each region and that over all; both are drawn once."""
        if column not in self._found_intervals:
            self._found_intervals[column] = bootstrap.region_intervals(self._grids[column])
        return self._found_intervals[column]

    def _counts(self, region: str | None = None) -> dict[str, int]:
        kinds = (Status.ABSENT, Status.MISSED, Status.FALSE_ALARM)
        return {kind.value: self.count(kind, region) for kind in kinds}


def score_case(
    case: str, reference: Segmentation, prediction: Segmentation, *, convention: str = DEFAULT
) -> list[Score]:
    """Score every region of the task in one case.

    Args:
        case: Its name.
        reference: What is there; its task says which regions are scored.
        prediction: What was found, on the same grid.
        convention: What the scores mean; a module of `medseg.evaluation.conventions`.
    """
    return score_pairs(case, region_pairs.pairs(reference, prediction), convention=convention)


def score_pairs(case: str, pairs: Mapping[str, Pair], *, convention: str) -> list[Score]:
    """Score the regions of one case, several at a time.

    Args:
        case: Its name.
        pairs: The masks of each region.
        convention: What the scores mean.
    """
    compute = conventions.load(convention).compute

    def scored(region: str) -> Score:
        pair = pairs[region]
        components, holes = ((float(a), float(b)) for a, b in (pair.components, pair.holes))
        return Score(case, region, compute(pair), pair.status, pair.volumes_ml, components, holes)

    if sum(pair.reference.size for pair in pairs.values()) < _MANY_VOXELS:
        return list(map(scored, pairs))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(scored, pairs))


def _means(grid: Grid) -> Float64[np.ndarray, " regions"]:
    """Return the mean of each column without NaN; NaN if there is nothing else."""
    known = ~np.isnan(grid)
    totals = np.where(known, grid, 0.0).sum(axis=0)
    held = known.sum(axis=0)
    return np.divide(totals, held, out=np.full(len(totals), np.nan), where=held > 0)


def _or_none(value: float) -> float | None:
    return value if math.isfinite(value) else None
