"""Which files medseg wrote itself as results: they are no scans, and no references of a data set.

The `report.json` in a folder of results names them, those of runs that were killed too.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from medseg import formats

REPORT: Final = "report.json"
ENTROPY: Final = "entropy"
"""Folder of maps beside the segmentations."""


def without(paths: Iterable[Path]) -> list[Path]:
    """Return those of some files that are no results, in their order."""
    named: dict[Path, set[str]] = {}
    return [path for path in paths if not _is_result(path, named)]


def has_report(folder: Path) -> bool:
    """Tell whether medseg wrote results into a folder."""
    return bool(_named_in(folder))


def _is_result(path: Path, named: dict[Path, set[str]]) -> bool:
    folder, stem = path.parent, formats.stem(path)
    if folder.name == ENTROPY and stem.endswith(f"_{ENTROPY}"):
        return True
    if folder not in named:
        named[folder] = _named_in(folder)
    return stem in named[folder]


def _named_in(folder: Path) -> set[str]:
    """Return the results that the report of a folder names, without their endings."""
    try:
        document: Any = json.loads((folder / REPORT).read_text(encoding="utf-8"))
        names = [*document.get("files", ()), *(entry["output"] for entry in document["cases"])]
        return {formats.stem(Path(name)) for name in names}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return set()  # none, or of another program
