"""The Medical Segmentation Decathlon: `dataset.json`, `imagesTr`, `labelsTr`.

The lists in `dataset.json` are trusted, not its counts, which are wrong in some of the published
archives. Files whose name starts with `._` are remains of macOS and are skipped.

Source: Antonelli et al. 2022, https://doi.org/10.1038/s41467-022-30695-9
"""

import json
from pathlib import Path
from typing import Any

from medseg import formats
from medseg.data.cases import Case
from medseg.errors import DataError
from medseg.task import Task


def cases(root: Path, task: Task) -> list[Case]:
    """List the training cases that `dataset.json` names.

    Raises:
        DataError: `dataset.json` is missing or damaged, contradicts the task, or names files
            that are not there.
    """
    folder = _folder(root)
    description = _description(folder / "dataset.json")
    _check_labels(description, task, folder / "dataset.json")
    entries = [entry for entry in description["training"] if not _is_leftover(entry["image"])]
    return [_case(folder, entry) for entry in entries]


def _folder(root: Path) -> Path:
    """Return `root`, or the only folder in it that has a `dataset.json`."""
    if (root / "dataset.json").is_file():
        return root
    inside = sorted(path.parent for path in root.glob("*/dataset.json"))
    if len(inside) != 1:
        raise DataError(
            "has no dataset.json" if not inside else f"holds {len(inside)} data sets",
            where=root,
            remedy="Give the folder that holds dataset.json, imagesTr and labelsTr",
        )
    return inside[0]


def _description(path: Path) -> dict[str, Any]:
    try:
        description = json.loads(path.read_text(encoding="utf-8-sig"))
        listed = [(Path(entry["image"]), Path(entry["label"])) for entry in description["training"]]
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(
            "is not a Decathlon description with a 'training' list of images and labels",
            where=path,
            remedy="Unpack the archive anew",
        ) from error
    if not listed:
        raise DataError("lists no training cases", where=path, remedy="Unpack the archive anew")
    return dict(description)


def _check_labels(description: dict[str, Any], task: Task, path: Path) -> None:
    known = {label.value for label in task.labels.values()}
    try:
        values = {int(value) for value in description.get("labels", {})} - {0}
    except (ValueError, TypeError) as error:
        raise DataError(
            'has \'labels\' that are not of the form {"1": "name"}',
            where=path,
            remedy="Write each label's value before its name",
        ) from error
    if not values <= known:
        raise DataError(
            f"names the label values {sorted(values)}, but task {task.name} knows {sorted(known)}",
            where=path,
            remedy="Choose the task that fits these data with --task",
        )


def _is_leftover(image: str) -> bool:
    return Path(image).name.startswith(".")


def _case(folder: Path, entry: dict[str, str]) -> Case:
    image, label = folder / entry["image"], folder / entry["label"]
    for path in (image, label):
        if not path.is_file():
            raise DataError(
                "is listed in dataset.json but is not there",
                where=path,
                remedy="Unpack the archive anew, or take the case out of the list",
            )
    return Case(name=formats.stem(image), images=(image,), label=label)
