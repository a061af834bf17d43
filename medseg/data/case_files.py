"""What a case depends on, so that what was made of it is made anew when that changes."""

import hashlib
import json
from pathlib import Path
from typing import Any

from medseg import task as tasks
from medseg.data.cases import Case
from medseg.formats import npz
from medseg.task import Task


def digest(case: Case, task: Task, *more: object) -> str:
    """Return 32 hexadecimal digits that change with the case's files, the task, or `more`.

    Files count by their place, size and time of change: reading all of them would take as long as
    making anew.

    Args:
        case: Its files need not be there.
        task: What is read from them.
        more: Whatever else what is made depends on; its `repr` counts.
    """
    paths = [each for image in case.images for each in _all_files(image)]
    stated = [_state(path) for path in [*paths, *([case.label] if case.label else [])]]
    told = [case.name, case.order, repr(case.values), tasks.text(task), stated, repr(more)]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:32]


def _all_files(image: Path) -> list[Path]:
    """Return the files that reading `image` reads."""
    if image.is_dir():
        return sorted(path for path in image.iterdir() if path.is_file())
    if npz.case_of(image) is not None and image.is_file():
        return sorted(image.parent.glob(f"{npz.case_of(image)}_slice*"))
    if image.suffix.lower() in (".hdr", ".nhdr", ".mhd", ".img"):
        return sorted(image.parent.glob(f"{image.stem}.*"))
    return [image]


def _state(path: Path) -> list[Any]:
    try:
        status = path.stat()
    except OSError:
        return [str(path), None]
    return [str(path.resolve()), status.st_size, status.st_mtime_ns]
