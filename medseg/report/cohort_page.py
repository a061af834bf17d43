"""The page over a cohort: a table that sorts, distributions, agreement, and links to the cases."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from medseg.evaluation.clinical_numbers import ClinicalNumbers
from medseg.report import pages
from medseg.report.results import Origin
from medseg.task import Task
from medseg.version import __version__

RANKS: Final = {"fail": 0, "check": 1, "pass": 2}
"""The order in which verdicts are sorted."""

_LEFT, _RIGHT = 10.0, 310.0  # of a strip, in the units of its drawing
_AXIS = 28.0
_PILE = 7.0
_HIGHEST = 4


@dataclass(frozen=True)
class Row:
    """A case in the table.

    Attributes:
        name: Of the case.
        page: Address of its page, relative to the cohort's.
        verdict: Of quality control.
        reasons: For the verdict.
        numbers: By column title; None where not defined.
    """

    name: str
    page: str
    verdict: str
    reasons: tuple[str, ...]
    numbers: dict[str, float | None]


@dataclass(frozen=True)
class Dot:
    """A case in a distribution, and where it is drawn."""

    name: str
    page: str
    value: float
    x: float
    y: float


@dataclass(frozen=True)
class Strip:
    """The distribution of one number over the cases."""

    title: str
    low: float
    high: float
    median: float
    median_at: float
    dots: tuple[Dot, ...]


def write(
    path: Path,
    rows: Sequence[Row],
    task: Task,
    origin: Origin,
    numbers: ClinicalNumbers,
    *,
    failed: Sequence[tuple[str, str]],
    has_reference: bool,
) -> None:
    """Write the page of a cohort.

    Args:
        path: Where to.
        rows: The cases, which all have the same numbers.
        task: What was segmented.
        origin: The model it comes from.
        numbers: The clinical numbers of all cases.
        failed: Name and reason of the cases that could not be segmented.
        has_reference: Whether agreement with references is shown.

    Raises:
        OutputError: The disk is full, or the place is not writable.
    """
    columns = list(rows[0].numbers) if rows else []
    strips = [strip(column, rows) for column in columns]
    counts = Counter(row.verdict for row in rows)
    pages.write(
        path,
        "cohort",
        scripts=("sort",),
        version=__version__,
        task=task,
        origin=origin,
        columns=columns,
        rows=[
            {
                "name": row.name,
                "page": row.page,
                "verdict": row.verdict,
                "rank": RANKS[row.verdict],
                "reasons": row.reasons,
                "numbers": list(row.numbers.values()),
            }
            for row in rows
        ],
        verdicts={verdict: counts[verdict] for verdict in RANKS if counts[verdict]},
        strips=[each for each in strips if each is not None],
        agreements=numbers.agreements() if has_reference else [],
        left_out=numbers.left_out,
        failed=failed,
    )


def strip(title: str, rows: Sequence[Row]) -> Strip | None:
    """Return the distribution of the column `title`; None if no case has a finite number.

    Dots that would cover each other are piled up.
    """
    shown = [
        (row, value)
        for row in rows
        if (value := row.numbers[title]) is not None and math.isfinite(value)
    ]
    if not shown:
        return None
    values = [value for _, value in shown]
    low, high, median = min(values), max(values), float(np.median(values))
    span = (high - low) or 1.0

    def place(value: float) -> float:
        return round(_LEFT + (_RIGHT - _LEFT) * (value - low) / span, 1)

    piles: Counter[int] = Counter()
    dots = []
    for row, value in shown:
        x = place(value)
        height = piles[round(x / _PILE)] % _HIGHEST
        piles[round(x / _PILE)] += 1
        dots.append(Dot(row.name, row.page, value, x, round(_AXIS - _PILE * height, 1)))
    return Strip(title, low, high, median, place(median), tuple(dots))
