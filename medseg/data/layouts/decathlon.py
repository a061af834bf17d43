"""The Medical Segmentation Decathlon: `dataset.json`, `imagesTr`, `labelsTr`, `imagesTs`.

The lists in `dataset.json` are trusted, not its counts, which are wrong in some of the published
archives. Files whose name starts with `._` are remains of macOS and are skipped.

Source: Antonelli et al. 2022, https://doi.org/10.1038/s41467-022-30695-9
"""

import json
from pathlib import Path
from typing import Any, Final

from medseg import formats
from medseg import task as tasks
from medseg.data.cases import Case
from medseg.data.data_set import DataSet, plain
from medseg.errors import DataError

RANK: Final = 1

DESCRIPTION: Final = "dataset.json"


def recognise(root: Path) -> DataSet | None:
    """Return the cases that `dataset.json` names.

    Raises:
        DataError: `dataset.json` is damaged, or there are several in the folders below.
    """
    folder = described_folder(root)
    if folder is None:
        return None
    path = folder / DESCRIPTION
    description = read_description(path)
    if "channel_names" in description or "file_ending" in description:
        return None  # nnU-Net's
    training = _training(description, path)
    modality = _named(description, "modality", path)
    name = str(description.get("name", folder.name))
    return DataSet(
        layout="decathlon",
        edition=f"Medical Segmentation Decathlon: {name}",
        root=folder,
        cases=(
            *(_case(folder, entry) for entry in training),
            *_test_cases(folder, description),
        ),
        channels=tuple(modality.values()) or ("image",),
        modalities=tuple("ct" if "ct" in value.lower() else "mr" for value in modality.values()),
        numberings={"dataset.json": _named(description, "labels", path)},
        task=_shipped(name),
    )


def described_folder(root: Path) -> Path | None:
    """Return `root`, or the only folder at most two below it, that has a `dataset.json`, or None.

    Raises:
        DataError: There are several.
    """
    if (root / DESCRIPTION).is_file():
        return root
    near, far = (
        sorted(path.parent for path in root.glob(f"{pattern}/{DESCRIPTION}"))
        for pattern in ("*", "*/*")
    )
    inside = near or far
    if len(inside) > 1:
        raise DataError(
            f"holds {len(inside)} data sets",
            where=root,
            remedy="Give the folder that holds dataset.json, imagesTr and labelsTr",
        )
    return inside[0] if inside else None


def read_description(path: Path) -> dict[str, Any]:
    """Read a `dataset.json`.

    Raises:
        DataError: It is no JSON object.
    """
    try:
        return dict(json.loads(path.read_text(encoding="utf-8-sig")))
    except (ValueError, TypeError, OSError) as error:
        raise _undescribed(path) from error


def _undescribed(path: Path) -> DataError:
    return DataError(
        "is not a Decathlon description with a 'training' list of images and labels",
        where=path,
        remedy="Unpack the archive anew",
    )


def _training(description: dict[str, Any], path: Path) -> list[dict[str, str]]:
    try:
        listed = [dict(entry) for entry in description["training"]]
        kept = [entry for entry in listed if not _is_leftover(entry["image"])]
        for entry in listed:
            Path(entry["label"])
    except (ValueError, KeyError, TypeError) as error:
        raise _undescribed(path) from error
    if not listed:
        raise DataError("lists no training cases", where=path, remedy="Unpack the archive anew")
    return kept


def _named(description: dict[str, Any], field: str, path: Path) -> dict[int, str]:
    """Return a field whose entries are of the form `"1": "name"`, by number."""
    try:
        given = description.get(field, {})
        return {int(number): str(given[number]) for number in sorted(given, key=int)}
    except (ValueError, TypeError) as error:
        raise DataError(
            f'has {field!r} that are not of the form {{"1": "name"}}',
            where=path,
            remedy="Write each number before its name",
        ) from error


def _is_leftover(image: str) -> bool:
    return Path(image).name.startswith(".")


def _case(folder: Path, entry: dict[str, str]) -> Case:
    image = folder / entry["image"]
    return Case(name=formats.stem(image), images=(image,), label=folder / entry["label"])


def _test_cases(folder: Path, description: dict[str, Any]) -> list[Case]:
    """Return the unlabelled cases that are there; they are a download of their own."""
    listed = description.get("test", [])
    entries = [entry["image"] if isinstance(entry, dict) else entry for entry in listed]
    images = [folder / str(entry) for entry in entries if not _is_leftover(str(entry))]
    return [Case(formats.stem(image), (image,)) for image in images if image.is_file()]


def _shipped(name: str) -> str | None:
    name = plain(name)
    return name if name in tasks.names() else None
