"""Scores of regions and cases, their means, and the files they are written to."""

import csv
import io
import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from medseg import files, regions
from medseg.evaluation import metrics
from medseg.evaluation.pair import Pair, Status
from medseg.segmentation import Segmentation

CONVENTION: Final = "medseg"


@dataclass(frozen=True)
class Score:
    """One region of one case.

    Attributes:
        case: The case.
        region: The region, or the label if the task has no regions.
        values: The metrics by column, such as `hd95_mm`; NaN if the region is absent.
        status: Whether reference and prediction hold the region.
    """

    case: str
    region: str
    values: Mapping[str, float]
    status: Status


@dataclass(frozen=True)
class Scores:
    """The scores of all cases.

    Attributes:
        rows: One score for each region of each case.
        without_reference: Predictions that could not be scored, because nothing is known of them.
    """

    rows: tuple[Score, ...]
    without_reference: tuple[str, ...] = ()

    @property
    def cases(self) -> list[str]:
        """The cases in the order they were scored."""
        return list(dict.fromkeys(row.case for row in self.rows))

    @property
    def regions(self) -> list[str]:
        """The regions in the order of the task."""
        return list(dict.fromkeys(row.region for row in self.rows))

    @property
    def columns(self) -> list[str]:
        """The metrics by column, such as `dice` and `hd95_mm`."""
        return list(dict.fromkeys(column for row in self.rows for column in row.values))

    def region_mean(self, column: str, region: str) -> float:
        """Return the mean of a metric over the cases; NaN if the region is absent from all."""
        return _mean(row.values[column] for row in self.rows if row.region == region)

    def mean(self, column: str) -> float:
        """Return the mean over the regions of their means over the cases.

        A region that is absent from every case is left out; NaN if all are. Every region weighs
        the same, however many cases hold it.
        """
        return _mean(self.region_mean(column, region) for region in self.regions)

    def count(self, status: Status, region: str | None = None) -> int:
        """Count the scores of `status`, of one region or of all."""
        counted = Counter(row.status for row in self.rows if region in (None, row.region))
        return counted[status]

    def summary(self) -> dict[str, Any]:
        """Return the means and counts, ready for JSON; null stands for NaN."""
        return {
            "convention": CONVENTION,
            "cases": len(self.cases),
            "mean": {column: _or_none(self.mean(column)) for column in self.columns},
            **self._counts(),
            "regions": {
                region: {
                    "mean": {
                        column: _or_none(self.region_mean(column, region))
                        for column in self.columns
                    },
                    **self._counts(region),
                }
                for region in self.regions
            },
            "without_reference": list(self.without_reference),
        }

    def table(self) -> str:
        """Return the scores as CSV: case, region, the metrics, status."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["case", "region", *self.columns, "status"])
        for row in self.rows:
            values = [repr(row.values[column]) for column in self.columns]
            writer.writerow([row.case, row.region, *values, row.status.value])
        return text.getvalue()

    def write(self, folder: Path) -> None:
        """Write `scores.csv` and `summary.json` to `folder`.

        Raises:
            OutputError: They cannot be written.
        """
        files.write_text(folder / "scores.csv", self.table())
        summary = json.dumps(self.summary(), indent=2, allow_nan=False, ensure_ascii=False)
        files.write_text(folder / "summary.json", summary + "\n")

    def _counts(self, region: str | None = None) -> dict[str, int]:
        kinds = (Status.ABSENT, Status.MISSED, Status.FALSE_ALARM)
        return {kind.value: self.count(kind, region) for kind in kinds}


def score_case(case: str, reference: Segmentation, prediction: Segmentation) -> list[Score]:
    """Score every region of the task in one case.

    Args:
        case: Its name.
        reference: What is there; its task says which regions are scored.
        prediction: What was found, on the same grid.
    """
    return [
        _score(
            case,
            region,
            Pair(
                regions.mask_of(reference.label_map, reference.task, region),
                regions.mask_of(prediction.label_map, prediction.task, region),
                reference.grid.spacing_mm,
            ),
        )
        for region in reference.task.region_names
    ]


def _score(case: str, region: str, pair: Pair) -> Score:
    values = {column: metric.compute(pair) for column, metric in metrics.columns().items()}
    return Score(case, region, values, pair.status)


def _mean(values: Iterable[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return math.fsum(known) / len(known) if known else math.nan


def _or_none(value: float) -> float | None:
    return None if math.isnan(value) else value
