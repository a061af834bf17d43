"""What was measured of a case, kept until one of its files or its task changes.

One archive per case in `$MEDSEG_HOME/surveys`, or the user's cache folder. A damaged one is made
anew.
"""

import contextlib
import io
import json
import os
import zipfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import numpy as np
import platformdirs
from pydantic import TypeAdapter

from medseg import errors, files
from medseg.data import case_files
from medseg.data.cases import Case
from medseg.data.description import LabelDescription, ScanDescription
from medseg.errors import OutputError
from medseg.survey.measure import Intensities, Measured, Problem, Thumbnail, measure
from medseg.task import Task

FORM: Final = 3
"""Changed whenever other things are measured."""

_SCAN: Final = TypeAdapter(ScanDescription | None)
_LABELS: Final = TypeAdapter(dict[str, LabelDescription])

_DAMAGED: Final = (OSError, KeyError, ValueError, TypeError, AttributeError, zipfile.BadZipFile)


def folder() -> Path:
    """Return where measurements are kept."""
    home = os.environ.get("MEDSEG_HOME")
    return (Path(home) if home else platformdirs.user_cache_path("medseg")) / "surveys"


def measured(
    case: Case, task: Task, measuring: Callable[[Case, Task], Measured] = measure
) -> Measured:
    """Return what is known of a case; measure it if nothing is, or if something changed."""
    place = folder() / f"{case_files.digest(case, task, FORM)}.npz"
    known = _read(place)
    if known is not None:
        return known
    found = measuring(case, task)
    with contextlib.suppress(OutputError):  # measuring again costs time and nothing else
        _write(place, found)
    return found


def _write(place: Path, found: Measured) -> None:
    document = asdict(found) | {"samples": list(found.samples), "thumbnail": None}
    document["problems"] = [
        {**asdict(problem), "kind": problem.kind.__name__} for problem in found.problems
    ]
    arrays: dict[str, Any] = {f"sample_{name}": values for name, values in found.samples.items()}
    if found.thumbnail is not None:
        arrays |= {"image": found.thumbnail.image, "labels": found.thumbnail.labels}
        document["thumbnail"] = found.thumbnail.aspect
    buffer = io.BytesIO()
    text = np.frombuffer(json.dumps(document).encode(), dtype=np.uint8)
    np.savez_compressed(buffer, document=text, **arrays)
    files.write_bytes(place, buffer.getvalue())


def _read(place: Path) -> Measured | None:
    if not place.is_file():
        return None
    try:
        with place.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            document = json.loads(archive["document"].tobytes())
            return _measured(document, {name: archive[name] for name in archive.files})
    except _DAMAGED:
        return None


def _measured(document: dict[str, Any], arrays: dict[str, np.ndarray]) -> Measured:
    shape, spacing = document["shape"], document["spacing_mm"]
    inside = document["inside"]
    aspect = document["thumbnail"]
    return Measured(
        case=document["case"],
        problems=tuple(
            Problem(**{**problem, "kind": getattr(errors, problem["kind"])})
            for problem in document["problems"]
        ),
        shape=None if shape is None else (shape[0], shape[1], shape[2]),
        inside=None if inside is None else (inside[0], inside[1], inside[2]),
        spacing_mm=None if spacing is None else (spacing[0], spacing[1], spacing[2]),
        orientation=document["orientation"],
        digest=document["digest"],
        file_values={int(value): count for value, count in document["file_values"].items()},
        scan=_SCAN.validate_python(document["scan"]),
        labels=_LABELS.validate_python(document["labels"]),
        centres_mm={name: (x, y, z) for name, (x, y, z) in document["centres_mm"].items()},
        intensities={
            name: Intensities(**{**each, "percentiles": tuple(each["percentiles"])})
            for name, each in document["intensities"].items()
        },
        samples={name: arrays[f"sample_{name}"] for name in document["samples"]},
        thumbnail=None if aspect is None else Thumbnail(arrays["image"], arrays["labels"], aspect),
    )
