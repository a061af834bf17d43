"""Scores as tables to read, and as `scores.csv`, `scores.md`, `summary.json` and `clinical.csv`."""

import json
import math
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from medseg import files
from medseg.evaluation import conventions
from medseg.evaluation.bootstrap import DRAWS
from medseg.evaluation.clinical_numbers import NOTHING, ClinicalNumbers
from medseg.evaluation.pair import Status
from medseg.evaluation.score import DEFAULT, Scores
from medseg.evaluation.text_table import TextTable, escaped, number

SHOWN: Final = ("dice", "nsd", "hd95_mm", "assd_mm")
"""What is shown of the default convention; `scores.csv` and `summary.json` hold all columns."""

_SCORES: Final = ("scores.csv", "scores.md", "summary.json", "boxes.png", "worst_cases.png")
_AGREEMENT: Final = ("clinical.csv", "bland_altman.png")

_KINDS: Final = (Status.MISSED, Status.FALSE_ALARM, Status.ABSENT)


def shown(scores: Scores) -> list[str]:
    """Return the columns to show, the Dice first: all of a convention but of the default few."""
    if scores.convention != DEFAULT:
        return scores.columns
    return [column for column in SHOWN if column in scores.columns]


def means(scores: Scores) -> TextTable:
    """Return the means by region and over all, and beside each what a mean hides."""
    columns = shown(scores)
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


def agreements_in_brief(numbers: ClinicalNumbers) -> TextTable:
    """Return what a terminal has room for; of the counts those that are not all 0."""
    found = numbers.agreements()
    kinds = ("undefined", *map(str, _KINDS))
    counted = [kind for kind in kinds if any(getattr(each, kind) for each in found)]
    return TextTable(
        title="Clinical numbers, means over subjects",
        headings=(
            *("quantity", "reference", "prediction", "error ± limits"),
            *(kind.replace("_", " ") for kind in counted),
        ),
        rows=tuple(
            (
                f"{each.quantity} ({each.unit})",
                *(_short(each.reference), _short(each.prediction)),
                f"{_short(each.error, sign='+')} ± {_short(each.limits[1] - each.error)}",
                *(str(getattr(each, kind)) for kind in counted),
            )
            for each in found
        ),
        words=1,
    )


def notes(scores: Sequence[Scores], numbers: ClinicalNumbers) -> list[str]:
    """Say how the numbers came about, in sentences."""
    names = [one.convention for one in scores]
    said = [
        *(
            f"Convention {name}: {conventions.describe(name)} ({conventions.load(name).SOURCE})"
            for name in names
        ),
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
    tables = [means(scores), *([agreements(numbers)] if numbers.rows else [])]
    parts = ["# Scores"]
    for table in tables:
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
    """Write `scores.csv`, `scores.md` and `summary.json`.

    Raises:
        OutputError: They cannot be written.
    """
    files.write_text(folder / "scores.csv", scores.table())
    files.write_text(folder / "scores.md", markdown(scores, numbers))
    text = json.dumps(document(scores, numbers), indent=2, allow_nan=False, ensure_ascii=False)
    files.write_text(folder / "summary.json", text + "\n")


def write_all(scores: Mapping[str, Scores], numbers: ClinicalNumbers, folder: Path) -> None:
    """Write the scores of each convention, and the clinical numbers, which are the same for all.

    What an earlier evaluation has left in `folder` is removed, so that no file contradicts another.

    Raises:
        OutputError: They cannot be written.
    """
    _remove(folder)
    for convention in conventions.names():
        _remove(folder / convention)
    for name, one in scores.items():
        write(one, folder_of(name, scores, folder), numbers)
    if numbers.rows:
        files.write_text(folder / "clinical.csv", numbers.table())


def folder_of(convention: str, scores: Collection[str], folder: Path) -> Path:
    """Return where a convention's files go: a folder of its own if there are several."""
    return folder / convention if len(scores) > 1 else folder


def _remove(folder: Path) -> None:
    """Remove the files of an earlier evaluation, but nobody else's."""
    if (folder / "scores.csv").is_file() and (folder / "summary.json").is_file():
        for name in (*_SCORES, *_AGREEMENT):
            _unlink(folder / name)
    elif any((folder / name / "scores.csv").is_file() for name in conventions.names()):
        for name in _AGREEMENT:
            _unlink(folder / name)


def _unlink(path: Path) -> None:
    with files.explained(path):
        path.unlink(missing_ok=True)


def _words(kind: Status) -> str:
    return str(kind).replace("_", " ")


def _interval(scores: Scores, column: str) -> str:
    low, high = scores.interval(column)
    return "-" if math.isnan(low) else f"{low:.4f} to {high:.4f}"


def _short(value: float, *, sign: str = "") -> str:
    return "-" if math.isnan(value) else f"{value:{sign}.4g}"
