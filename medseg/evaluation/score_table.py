"""Tables of scores as `medseg evaluate -o` writes them, paired by case and region."""

import csv
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from jaxtyping import Bool, Float64

from medseg.errors import DataError, UsageError, listed
from medseg.evaluation import metrics
from medseg.evaluation.pair import Status
from medseg.evaluation.score import SIZES

Key = tuple[str, str]
"""A case and a region."""

_FILE: Final = "scores.csv"
_NEEDED: Final = ("case", "region", "status")


@dataclass(frozen=True)
class Table:
    """The scores of one model.

    Attributes:
        path: The CSV file.
        convention: How empty masks and percentiles were scored; None if it is not told.
        columns: The metrics by column, such as `hd95_mm`.
        values: The metrics of each region of each case, in the order of `columns`.
        status: Whether reference and prediction hold the region.
    """

    path: Path
    convention: str | None
    columns: tuple[str, ...]
    values: Mapping[Key, tuple[float, ...]]
    status: Mapping[Key, Status]


@dataclass(frozen=True, eq=False)
class Paired:
    """The scores of several models on the same regions of the same cases.

    Attributes:
        models: Their names.
        cases: In the order of the first table.
        regions: In the order of the first table.
        higher_is_better: The direction of each metric that is compared, by its column.
        values: The scores by metric; NaN where all models have NaN.
        filled: How many regions of cases are absent for one model and a false alarm of another.
        not_compared: Columns that are no metrics of medseg, or that some table lacks.
        one_sided: Where a model missed or made up the region, so that its value is that of an empty
            mask; None if it is not told.
    """

    models: tuple[str, ...]
    cases: tuple[str, ...]
    regions: tuple[str, ...]
    higher_is_better: Mapping[str, bool]
    values: Mapping[str, Float64[np.ndarray, "cases regions models"]]
    filled: int
    not_compared: tuple[str, ...]
    one_sided: Bool[np.ndarray, "cases regions models"] | None = None


def read(place: Path) -> Table:
    """Read a `scores.csv`, or the one in the folder `place`.

    Raises:
        DataError: There is none, or it is no table of scores.
    """
    path = place / _FILE if place.is_dir() else place
    rows = _rows(path)
    columns = tuple(column for column in rows[0] if column not in (*_NEEDED, *SIZES))
    values: dict[Key, tuple[float, ...]] = {}
    status: dict[Key, Status] = {}
    for line, row in enumerate(rows, start=2):
        key = (row["case"], row["region"])
        if key in values:
            raise _broken(path, f"has region {key[1]} of case {key[0]} twice")
        try:
            values[key] = tuple(float(row[column]) for column in columns)
            status[key] = Status(row["status"])
        except (TypeError, ValueError) as error:
            raise _broken(path, f"cannot be understood in line {line}: {error}") from error
    return Table(path, _convention(path), columns, values, status)


def names(paths: Sequence[Path]) -> tuple[str, ...]:
    """Name models by the folders of their tables, with as many parents as make them distinct.

    A table that is not called `scores.csv` gives its own name.

    Raises:
        UsageError: A table is given twice.
    """
    whole = [_named_by(path.resolve()).parts for path in paths]
    twice = [path for path, parts in zip(paths, whole, strict=True) if whole.count(parts) > 1]
    if twice:
        raise UsageError("is given twice", where=twice[0], remedy="Name the scores of two models")
    length = 1
    while len({parts[-length:] for parts in whole}) < len(whole):
        length += 1
    return tuple("/".join(parts[-length:]) for parts in whole)


def pair(tables: Sequence[Table], *, wanted: Sequence[str] = ()) -> Paired:
    """Pair the scores of models by case and region.

    A region that is NaN for all models, because neither the reference nor a prediction holds it,
    is left out. If it is absent for one model and a false alarm of another, then the first is
    right and the second wrong: the first gets the best value, 1 if higher is better and else 0,
    for to leave the case out would hide the false alarm. Any other NaN that not all models share
    is an error, and so is infinity.

    Args:
        tables: One for each model, two or more.
        wanted: Metrics by column or name; if empty all that every table has.

    Raises:
        DataError: Cases or regions are missing, the references or conventions differ, or a
            value cannot be compared.
        UsageError: A metric that is wanted is not there.
    """
    _require_one_convention(tables)
    _require_same_keys(tables)
    _require_same_references(tables)
    keys = list(tables[0].values)
    cases = tuple(dict.fromkeys(case for case, _ in keys))
    regions = tuple(dict.fromkeys(region for _, region in keys))
    higher_is_better = _chosen(tables, wanted)
    known = {column for table in tables for column in table.columns}
    return Paired(
        models=names([table.path for table in tables]),
        cases=cases,
        regions=regions,
        higher_is_better=higher_is_better,
        values={
            column: _grid(_matched(tables, column, higher_is_better=higher), keys, cases, regions)
            for column, higher in higher_is_better.items()
        },
        one_sided=_grid(_one_sided(tables), keys, cases, regions) == 1,
        filled=sum(_is_filled(tables, key) for key in keys),
        not_compared=() if wanted else tuple(sorted(known - set(higher_is_better))),
    )


_EMPTY: Final = frozenset({Status.ABSENT, Status.FALSE_ALARM})  # where the reference is empty


def _rows(path: Path) -> list[dict[str, str]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:  # Excel adds the mark
            rows = list(csv.DictReader(file))
    except OSError as error:
        remedy = "Give the folder that medseg evaluate -o wrote, or its scores.csv"
        raise DataError("cannot be read", where=path, remedy=remedy) from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise _broken(path, "is no table of scores") from error
    if not rows:
        raise _broken(path, "holds no scores")
    lacking = [column for column in _NEEDED if column not in rows[0]]
    if lacking:
        raise _broken(path, f"has no column {', '.join(lacking)}")
    return rows


def _broken(path: Path, what: str) -> DataError:
    return DataError(what, where=path, remedy="Write it anew with medseg evaluate -o")


def _convention(path: Path) -> str | None:
    try:
        summary = json.loads((path.parent / "summary.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None  # a table alone is enough
    convention = summary.get("convention") if isinstance(summary, dict) else None
    return None if convention is None else str(convention)


def _named_by(path: Path) -> Path:
    return path.parent if path.name == _FILE else path


def _require_one_convention(tables: Sequence[Table]) -> None:
    told = {table.convention: table for table in tables if table.convention is not None}
    if len(told) > 1:
        raise DataError(
            f"scores by different conventions ({', '.join(told)}) cannot be compared",
            where=next(reversed(told.values())).path,
            remedy="Score all models by one convention",
        )


def _require_same_keys(tables: Sequence[Table]) -> None:
    every = dict.fromkeys(key for table in tables for key in table.values)
    for table in tables:
        missing = [key for key in every if key not in table.values]
        if missing:
            cases = {case for case, _ in table.values}
            shown = dict.fromkeys(
                f"{case} ({region})" if case in cases else case for case, region in missing
            )
            raise DataError(
                f"lacks cases that another model has: {listed(list(shown))}",
                where=table.path,
                remedy="Score the same regions of the same cases with every model",
            )


def _require_same_references(tables: Sequence[Table]) -> None:
    first = tables[0]
    for table in tables[1:]:
        other = [
            f"{key[0]} ({key[1]})"
            for key in first.status
            if (first.status[key] in _EMPTY) != (table.status[key] in _EMPTY)
        ]
        if other:
            raise DataError(
                f"was scored against another reference than {first.path}: {listed(other)}",
                where=table.path,
                remedy="Score all models against the same references",
            )


def _chosen(tables: Sequence[Table], wanted: Sequence[str]) -> dict[str, bool]:
    shared = [c for c in tables[0].columns if all(c in table.columns for table in tables)]
    found = {column: name for column in shared if (name := _metric_of(column)) is not None}
    unknown = [metric for metric in wanted if metric not in {*found, *found.values()}]
    if unknown or not found:
        raise UsageError(
            f"not every table of scores has the metric {', '.join(unknown)}"
            if unknown
            else "the tables of scores have no metric in common",
            remedy=f"Choose from {', '.join(found)}" if found else "Score the models anew",
        )
    return {
        column: metrics.load(name).HIGHER_IS_BETTER
        for column, name in found.items()
        if not wanted or column in wanted or name in wanted
    }


def _metric_of(column: str) -> str | None:
    """Return the metric that a column holds: its longest name that begins the column."""
    fitting = [n for n in metrics.names() if column == n or column.startswith(f"{n}_")]
    return max(fitting, key=len, default=None)


def _matched(
    tables: Sequence[Table], column: str, *, higher_is_better: bool
) -> dict[Key, list[float]]:
    places = [table.columns.index(column) for table in tables]
    best = 1.0 if higher_is_better else 0.0
    matched: dict[Key, list[float]] = {}
    odd: list[str] = []
    for key in tables[0].values:
        row = [table.values[key][place] for table, place in zip(tables, places, strict=True)]
        if not all(map(math.isnan, row)):
            row = [
                best if math.isnan(value) and table.status[key] is Status.ABSENT else value
                for value, table in zip(row, tables, strict=True)
            ]
            if not all(map(math.isfinite, row)):
                odd.append(f"{key[0]} ({key[1]})")
        matched[key] = row
    if odd:
        raise DataError(
            f"{column} is infinite, or has no value for one model alone: {listed(odd)}",
            where=tables[0].path,
            remedy="Score by the medseg convention, or choose other metrics with --metric",
        )
    return matched


def _one_sided(tables: Sequence[Table]) -> dict[Key, list[float]]:
    apart = (Status.MISSED, Status.FALSE_ALARM)
    return {key: [float(t.status[key] in apart) for t in tables] for key in tables[0].status}


def _is_filled(tables: Sequence[Table], key: Key) -> bool:
    false_alarm = any(table.status[key] is Status.FALSE_ALARM for table in tables)
    absent = [table.values[key] for table in tables if table.status[key] is Status.ABSENT]
    return false_alarm and any(math.isnan(value) for values in absent for value in values)


def _grid(
    matched: Mapping[Key, list[float]],
    keys: list[Key],
    cases: Sequence[str],
    regions: Sequence[str],
) -> Float64[np.ndarray, "cases regions models"]:
    rows = {case: row for row, case in enumerate(cases)}
    columns = {region: column for column, region in enumerate(regions)}
    grid = np.full((len(cases), len(regions), len(matched[keys[0]])), np.nan)
    for case, region in keys:
        grid[rows[case], columns[region]] = matched[case, region]
    return grid
