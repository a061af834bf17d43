"""A folder of corrected segmentations that `medseg train --data FOLDER` reads.

    FOLDER/cases.csv              a row for each case: case, a column for each channel, label
    FOLDER/images/CASE_CHANNEL.nii.gz
    FOLDER/labels/CASE.seg.nrrd   medseg knows its segments by their names

Nothing but these names is written: no name of the scene, and no field of a header.
"""

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

LIST = "cases.csv"
REGION = "region."  # how medseg's `.seg.nrrd` identifies a region of several labels
_IMAGES, _LABELS = "images", "labels"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
_FIRST, _LAST = "case", "label"


@dataclass(frozen=True)
class Place:
    """Where the files of a case go.

    Attributes:
        folder: The folder of all cases.
        case: Its name.
        images: The file of each channel.
        label: The file of the segmentation.
    """

    folder: Path
    case: str
    images: dict[str, Path]
    label: Path


def next_name(folder: Path) -> str:
    """Return a name that no case of `folder` has: `case_001`, `case_002`, ..."""
    taken = set(names(folder))
    number = 1
    while f"case_{number:03d}" in taken:
        number += 1
    return f"case_{number:03d}"


def names(folder: Path) -> tuple[str, ...]:
    """Return the cases that `folder` lists.

    Raises:
        ValueError: Its list cannot be read; the message is for people.
    """
    return tuple(row[_FIRST] for row in _rows(folder)[1])


def place(folder: Path, case: str, channels: Sequence[str]) -> Place:
    """Return where the files of `case` go, and make the folders.

    Raises:
        ValueError: The name cannot be a file's, or the folder holds cases of other channels; the
            message is for people.
        OSError: The folders cannot be made.
    """
    if not _NAME.fullmatch(case):
        raise ValueError(f"{case!r} is no name for a case. Use letters, digits, - and _ alone.")
    columns, rows = _rows(folder)
    wanted = [_FIRST, *channels, _LAST]
    if rows and columns != wanted:
        raise ValueError(
            f"{folder} holds cases with the columns {', '.join(columns)}, and this one has"
            f" {', '.join(wanted)}. Choose another folder."
        )
    for name in (_IMAGES, _LABELS):
        (folder / name).mkdir(parents=True, exist_ok=True)
    images = {channel: folder / _IMAGES / f"{case}_{channel}.nii.gz" for channel in channels}
    return Place(folder, case, images, folder / _LABELS / f"{case}.seg.nrrd")


def record(place: Place) -> Path:
    """List a case whose files were written, once; return the list.

    Raises:
        ValueError: A file is missing, or the list cannot be read; the message is for people.
        OSError: The list cannot be written.
    """
    files = {**place.images, _LAST: place.label}
    missing = [path.name for path in files.values() if not path.is_file()]
    if missing:
        raise ValueError(f"{', '.join(missing)} was not written. Is the disk full?")
    relative = {name: path.relative_to(place.folder).as_posix() for name, path in files.items()}
    rows = [row for row in _rows(place.folder)[1] if row[_FIRST] != place.case]
    rows.append({_FIRST: place.case, **relative})
    path = place.folder / LIST
    waiting = path.with_name(f".{LIST}")
    with waiting.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, [_FIRST, *place.images, _LAST])
        writer.writeheader()
        writer.writerows(rows)
    waiting.replace(path)
    return path


def _rows(folder: Path) -> tuple[list[str], list[dict[str, str]]]:
    path = folder / LIST
    if not path.is_file():
        return [], []
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            rows = list(reader)
        columns = list(reader.fieldnames or ())
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path} cannot be read. Choose another folder.") from error
    if _FIRST not in columns or _LAST not in columns:
        raise ValueError(f"{path} is no list of cases. Choose another folder.")
    return columns, rows
