"""Scores as tables to read, and as `scores.csv`, `scores.md`, `summary.json` and `clinical.csv`."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from medseg import files
from medseg.evaluation import conventions
from medseg.evaluation.bootstrap import DRAWS
from medseg.evaluation.clinical_numbers import NOTHING, ClinicalNumbers
from medseg.evaluation.pair import Status
from medseg.evaluation.score import Scores
from medseg.evaluation.text_table import TextTable, escaped, number

SHOWN: Final = (
    *("dice", "dice_legacy", "nsd", "hd95_mm", "hd95_voxels", "hd95_legacy_mm", "assd_mm"),
    "detection_f1",
)
"""The columns that are shown; `scores.csv` and `summary.json` hold all."""

_KINDS: Final = (Status.MISSED, Status.FALSE_ALARM, Status.ABSENT)


def means(scores: Scores) -> TextTable:
    """Return the means by region and over all, and beside each what a mean hides."""
    columns = [column for column in scores.columns if column in SHOWN]
    by_region = [
        (
            region,
            *(number(scores.region_mean(column, region)) for column in columns),
            *(str(scores.count(kind, region)) for kind in _KINDS),
        )
        for region in scores.regions
    ]
    counts = [str(scores.count(kind)) for kind in _KINDS]
    mean = ("mean", *(number(scores.mean(column)) for column in columns), *counts)
    interval = ("95 % interval", *(_interval(scores, column) for column in columns), "", "", "")
    return TextTable(
        title=f"{len(scores.cases)} cases, {scores.convention} convention",
        headings=("region", *columns, *map(_words, _KINDS)),
        rows=(*by_region, mean, interval),
        words=1,
    )


def agreements(numbers: ClinicalNumbers) -> TextTable:
    """Return how well each clinical number agrees."""
    return TextTable(
        title="Clinical numbers, means over subjects",
        headings=(
            *("quantity", "unit", "reference", "prediction"),
            *("error", "limits of agreement", "absolute error", "in %"),
            *("subjects", "undefined", *map(_words, _KINDS)),
        ),
        rows=tuple(
            (
                *(each.quantity, each.unit, _short(each.reference), _short(each.prediction)),
                _short(each.error, sign="+"),
                " to ".join(_short(end, sign="+") for end in each.limits),
                *(_short(each.absolute_error), _short(each.absolute_error_percent)),
                *(str(each.subjects), str(each.undefined)),
                *(str(each.missed), str(each.false_alarm), str(each.absent)),
            )
            for each in numbers.agreements()
        ),
        words=2,
    )


def notes(scores: Sequence[Scores], numbers: ClinicalNumbers) -> list[str]:
    """Say how the numbers came about, in sentences."""
    sources = [(one.convention, conventions.load(one.convention).SOURCE) for one in scores]
    said = [
        *(f"Convention {name}: {source}." for name, source in sources),
        "Mean: over the cases of each region, then over the regions, which weigh the same."
        f" Interval: holds 95 % of {DRAWS} bootstrap means over cases (seed 0).",
    ]
    if numbers.rows:
        said.append(
            "Error: prediction minus reference; limits of agreement: mean error less and plus 1.96"
            " standard deviations. What the reference does not define is left out and counted;"
            " where the prediction alone does not, it counts as 0."
        )
    if numbers.left_out:
        said.append(
            f"Left out: {', '.join(numbers.left_out)}, which needs the data set's own files. Name"
            " their folder with --data."
        )
    return said


def markdown(scores: Scores, numbers: ClinicalNumbers) -> str:
    """Return the tables and notes as Markdown."""
    shown = [means(scores), *([agreements(numbers)] if numbers.rows else [])]
    parts = ["# Scores"]
    for table in shown:
        parts += [f"## {table.title}", table.markdown()]
    parts.append("\n".join(f"- {escaped(note)}" for note in notes([scores], numbers)))
    return "\n\n".join(parts) + "\n"


def document(scores: Scores, numbers: ClinicalNumbers) -> dict[str, Any]:
    """Return the summary, ready for JSON; null stands for what is not finite or not defined."""
    return {
        **scores.summary(),
        "clinical": numbers.summary(),
        "clinical_left_out": list(numbers.left_out),
    }


def write(scores: Scores, folder: Path, numbers: ClinicalNumbers = NOTHING) -> None:
    """Write `scores.csv`, `scores.md`, `summary.json` and, if there are any, `clinical.csv`.

    Raises:
        OutputError: They cannot be written.
    """
    files.write_text(folder / "scores.csv", scores.table())
    files.write_text(folder / "scores.md", markdown(scores, numbers))
    text = json.dumps(document(scores, numbers), indent=2, allow_nan=False, ensure_ascii=False)
    files.write_text(folder / "summary.json", text + "\n")
    if numbers.rows:
        files.write_text(folder / "clinical.csv", numbers.table())


def _words(kind: Status) -> str:
    return str(kind).replace("_", " ")


def _interval(scores: Scores, column: str) -> str:
    low, high = scores.interval(column)
    return "-" if math.isnan(low) else f"{low:.4f} to {high:.4f}"


def _short(value: float, *, sign: str = "") -> str:
    return "-" if math.isnan(value) else f"{value:{sign}.4g}"
