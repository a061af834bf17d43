"""nnU-Net raw data sets: `imagesTr/CASE_0000.nii.gz`, `labelsTr/CASE.nii.gz`, `dataset.json`.

`splits_final.json` is used if it lies beside `dataset.json` or in nnU-Net's folder of preprocessed
data. Regions, labels that are lists of values, are kept as regions.

Source: https://github.com/MIC-DKFZ/nnUNet, `documentation/dataset_format.md`
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from medseg.data.cases import Case
from medseg.data.data_set import BACKGROUND, DataSet, Part, plain
from medseg.data.layouts.decathlon import DESCRIPTION, described_folder, read_description
from medseg.errors import DataError

RANK: Final = 1

_SPLITS: Final = "splits_final.json"


def recognise(root: Path) -> DataSet | None:
    """Return the cases of a raw data set, or those of one of its `images` folders.

    Raises:
        DataError: `dataset.json` or `splits_final.json` is damaged, or has an `ignore` label.
    """
    folder = _folder(root)
    if folder is None:
        return None
    description = read_description(folder / DESCRIPTION)
    if "channel_names" not in description and "file_ending" not in description:
        return None
    channels = _channels(description, folder)
    values, regions = _labels(description, folder / DESCRIPTION)
    parts = [root.name] if root != folder and root.name.startswith("images") else None
    cases = _cases(folder, len(channels), str(description.get("file_ending", ".nii.gz")), parts)
    return DataSet(
        layout="nnunet",
        edition=f"nnU-Net raw data set {description.get('name', folder.name)}",
        root=folder,
        cases=tuple(cases),
        channels=channels,
        modalities=tuple("ct" if name.lower() == "ct" else "mr" for name in channels),
        numberings={DESCRIPTION: values},
        regions=regions,
        splits=_splits(folder),
    )


def _folder(root: Path) -> Path | None:
    if root.name.startswith("images") and (root.parent / DESCRIPTION).is_file():
        return root.parent
    return described_folder(root)


def _channels(description: dict[str, Any], folder: Path) -> tuple[str, ...]:
    given = description.get("channel_names", description.get("modality", {}))
    try:
        names = tuple(str(given[key]) for key in sorted(given, key=int))
    except (TypeError, ValueError) as error:
        raise DataError(
            'has no \'channel_names\' of the form {"0": "name"}',
            where=folder / DESCRIPTION,
            remedy="Write them as nnU-Net's documentation says",
        ) from error
    return names or ("image",)


def _labels(
    description: dict[str, Any], path: Path
) -> tuple[Mapping[int, str], Mapping[str, tuple[int, ...]]]:
    """Return a name for each value, and the regions, where labels are lists of values."""
    try:
        given = {
            str(name): tuple(map(int, value)) if isinstance(value, list) else (int(value),)
            for name, value in description["labels"].items()
        }
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(
            "has no 'labels' of the form {\"name\": value}",
            where=path,
            remedy="Write them as nnU-Net's documentation says",
        ) from error
    if "ignore" in given:
        raise DataError(
            "has the label 'ignore', voxels that nothing is known of",
            where=path,
            remedy="medseg has no such label: leave these cases out, or annotate the voxels",
        )
    named = {plain(name): values for name, values in given.items() if plain(name) != BACKGROUND}
    if all(len(values) == 1 for values in named.values()):
        return {values[0]: name for name, values in named.items()}, {}
    every = sorted({value for values in named.values() for value in values})
    return {value: f"label_{value}" for value in every}, named


def _cases(folder: Path, channels: int, ending: str, parts: list[str] | None) -> list[Case]:
    pattern = re.compile(rf"(?P<case>[^.].*)_(?P<channel>\d{{4}}){re.escape(ending)}")
    names: dict[str, list[str]] = {}
    for part in parts or ["imagesTr", "imagesTs"]:
        paths = sorted((folder / part).glob("*")) if (folder / part).is_dir() else []
        matches = (pattern.fullmatch(path.name) for path in paths)
        names[part] = sorted({match["case"] for match in matches if match})
    return [
        Case(
            name,
            tuple(folder / part / f"{name}_{n:04d}{ending}" for n in range(channels)),
            label=_label(folder / part.replace("images", "labels") / f"{name}{ending}", part),
            test=part == "imagesTs",
        )
        for part, cases in names.items()
        for name in cases
    ]


def _label(path: Path, part: str) -> Path | None:
    """Return a label map; one that a training case lacks is named as it should be."""
    return path if part == "imagesTr" or path.is_file() else None


def _splits(folder: Path) -> Mapping[str, tuple[Part, ...]]:
    preprocessed = folder.parent.parent / "nnUNet_preprocessed" / folder.name
    for path in (folder / _SPLITS, preprocessed / _SPLITS):
        if path.is_file():
            return {_SPLITS: _parts(path)}
    return {}


def _parts(path: Path) -> tuple[Part, ...]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        return tuple(
            Part(tuple(entry["train"]), tuple(entry["val"]), watch_held_out=True)
            for entry in document
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            "is not a list of parts with 'train' and 'val'",
            where=path,
            remedy="Copy it anew from nnU-Net's folder of preprocessed data, or remove it",
        ) from error
