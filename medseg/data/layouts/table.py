"""A CSV list of images and labels: the file itself, or `cases.csv` in a folder.

Columns: `label`; `image`, or one for each channel by its name (`t1`, `flair`, ...); and, if wanted,
`case`, `patient` and `split` (`training`, `validation`, `test`). Paths are taken from where the
list lies. `labels.json` beside it names the values of the label maps.
"""

import csv
from collections import Counter
from pathlib import Path
from typing import Final

from medseg import formats
from medseg.data import label_names
from medseg.data.cases import Case
from medseg.data.data_set import DataSet, Part
from medseg.errors import DataError

RANK: Final = 2

NAME: Final = "cases.csv"

_MEANINGS: Final = ("case", "label", "patient", "split")
_PARTS: Final = {
    **dict.fromkeys(("train", "training"), "training"),
    **dict.fromkeys(("val", "validation"), "validation"),
    **dict.fromkeys(("test", "held_out", "held-out"), "held_out"),
}


def recognise(root: Path) -> DataSet | None:
    """Return the cases that a list names.

    Raises:
        DataError: The list is damaged, lacks a column, or a row lacks an image.
    """
    path = root if root.suffix.lower() == ".csv" else root / NAME
    if not path.is_file():
        return None
    rows = _rows(path)
    channels = tuple(name for name in rows[0] if name not in _MEANINGS)
    if not channels:
        raise DataError(
            f"has no column of images; its columns are {', '.join(rows[0])}",
            where=path,
            remedy="Call it image, or give one column for each channel",
        )
    numberings, others = label_names.read(path.parent)
    cases = tuple(_case(row, channels, path, line) for line, row in enumerate(rows, start=2))
    return DataSet(
        layout="table",
        edition=f"list {path.name}",
        root=path,
        cases=cases,
        channels=channels,
        numberings=numberings,
        others_are_background=others,
        splits=_splits(rows, cases, path),
    )


def _rows(path: Path) -> list[dict[str, str]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            heading = file.readline()
            file.seek(0)
            between = max(",;\t", key=heading.count)  # semicolons: Excel in much of Europe
            rows = list(csv.DictReader(file, strict=True, delimiter=between))
            columns = [
                name.strip().lower() for name in next(csv.reader([heading], delimiter=between))
            ]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError("is no CSV list", where=path, remedy="Save it as CSV in UTF-8") from error
    uneven = [n for n, row in enumerate(rows, start=2) if None in row or None in row.values()]
    if not rows or uneven:
        what = f"line {uneven[0]} has not as many entries as the first" if uneven else "is empty"
        raise DataError(what, where=path, remedy="Give a heading and a row for each case")
    twice = [name for name, number in Counter(columns).items() if number > 1]
    if twice:
        raise DataError(
            f"has the column {twice[0]!r} twice",
            where=path,
            remedy="Give each channel a column of its own name",
        )
    return [{name.strip().lower(): value.strip() for name, value in row.items()} for row in rows]


def _case(row: dict[str, str], channels: tuple[str, ...], path: Path, line: int) -> Case:
    lacking = [name for name in channels if not row[name]]
    if lacking:
        raise DataError(
            f"line {line} has no {lacking[0]}", where=path, remedy="Name the file, or drop the row"
        )
    images = tuple(path.parent / row[name] for name in channels)
    name = row.get("case") or formats.stem(images[0])
    if Path(name).name != name or "\\" in name:
        raise DataError(
            f"line {line} has the case {name!r}, which cannot be the name of a file",
            where=path,
            remedy="Write it without slashes",
        )
    return Case(
        name=name,
        images=images,
        label=path.parent / row["label"] if row.get("label") else None,
        patient=row.get("patient") or None,
    )


def _splits(
    rows: list[dict[str, str]], cases: tuple[Case, ...], path: Path
) -> dict[str, tuple[Part, ...]]:
    """Return the split that the column of that name describes; none if there is none."""
    named = [row.get("split", "").lower() for row in rows]
    unknown = sorted({name for name in named if name and name not in _PARTS})
    if unknown:
        raise DataError(
            f"has the split {unknown[0]!r}",
            where=path,
            remedy="Write training, validation or test, or leave it empty",
        )
    parts: dict[str, list[str]] = {"training": [], "validation": [], "held_out": []}
    for name, case in zip(named, cases, strict=True):
        if name:
            parts[_PARTS[name]].append(case.subject)
    _require_apart(parts, path)
    training, validation, held_out = (tuple(dict.fromkeys(names)) for names in parts.values())
    if not any(named):
        return {}
    if not training or not (held_out or validation):
        lacking = "training" if not training else "validation or test"
        raise DataError(
            f"puts no case into {lacking}",
            where=path,
            remedy="Write both into the column split, or leave it empty: cases are then divided"
            " into folds",
        )
    if not held_out:  # what watches the training is what is scored, as in cross-validation
        return {path.stem: (Part(training, validation, watch_held_out=True),)}
    return {path.stem: (Part(training, held_out, validation),)}


def _require_apart(parts: dict[str, list[str]], path: Path) -> None:
    groups = [set(names) for names in parts.values()]
    twice = sorted((groups[0] & groups[1]) | (groups[0] & groups[2]) | (groups[1] & groups[2]))
    if twice:
        raise DataError(
            f"puts the patient {twice[0]} into several parts of the split",
            where=path,
            remedy="Keep all cases of a patient in one part",
        )
