"""BraTS, the Brain Tumour Segmentation challenge, as its editions and copies are downloaded.

| | files of a case | label values |
|---|---|---|
| 2018 to 2021 | `_flair _t1 _t1ce _t2 _seg` | 1 necrosis, 2 oedema, 4 enhancing |
| 2023 | `-t1n -t1c -t2w -t2f -seg` | 1 necrosis, 2 oedema, 3 enhancing |
| 2024, after surgery | as 2023 | the same, and 4 resection cavity |
| Decathlon, task 01 | one 4D file: FLAIR, T1, T1ce, T2 | 1 oedema, 2 necrosis, 3 enhancing |

Files end in `.nii.gz`, those of Kaggle in `.nii`. What a value means is decided by the names of the
files and proved by the values of the whole set. A segmentation with an odd name, as in case 355 of
2020, is the only file of its folder whose name holds `seg`.

Source: https://www.med.upenn.edu/cbica/brats2020/data.html;
https://www.synapse.org/Synapse:syn51156910; https://www.synapse.org/Synapse:syn59059776
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from medseg.data import results
from medseg.data.cases import Case
from medseg.data.data_set import DataSet, plain, sequence
from medseg.data.layouts import decathlon
from medseg.errors import DataError

RANK: Final = 0

_CHANNELS: Final = ("t1", "t1ce", "t2", "flair")
_OLD: Final = {"t1": "t1", "t1ce": "t1ce", "t2": "t2", "flair": "flair", "seg": "seg"}
_NEW: Final = {"t1n": "t1", "t1c": "t1ce", "t2w": "t2", "t2f": "flair", "seg": "seg"}
_FILE: Final = re.compile(
    rf"(?P<case>.+?)(_(?P<old>{'|'.join(_OLD)})|-(?P<new>{'|'.join(_NEW)}))\.nii(\.gz)?",
    re.IGNORECASE,
)
_YEAR: Final = re.compile(r"brats(20)?(?P<year>17|18|19|20|21)_", re.IGNORECASE)

_PARTS: Final = {  # what the names of labels hold that mean a part of a tumour, asked in this order
    "oedema": ("edema",),
    "necrosis": ("non_enhancing", "nonenhancing", "necro"),
    "enhancing": ("enhancing",),
}
_CHILDREN: Final = "BraTS-PED"
_OLD_VALUES: Final = {1: "necrosis", 2: "oedema", 4: "enhancing"}
_NEW_VALUES: Final = {1: "necrosis", 2: "oedema", 3: "enhancing", 4: "resection_cavity"}
_NUMBERINGS: Final[dict[str, Mapping[int, str]]] = {
    "2018-2021": _OLD_VALUES,
    "2023-2024": _NEW_VALUES,
}


def recognise(root: Path) -> DataSet | None:
    """Return the cases below `root`, or the case whose folder it is, labelled or not.

    Raises:
        DataError: Files of older and newer names lie side by side.
    """
    if not root.is_dir():
        return None
    if (found := _decathlon(root)) is not None:
        return found
    by_naming = {naming: _cases(root, naming) for naming in ("old", "new")}
    present = [naming for naming, cases in by_naming.items() if cases]
    if len(present) > 1:
        first, second = (by_naming[naming][0].name for naming in present)
        raise DataError(
            f"mixes the names of 2018 to 2021 ({first}) with those of 2023 and later ({second}),"
            " whose label values mean different things",
            where=root,
            remedy="Give the folder of one edition",
        )
    if not present:
        return None
    (naming,) = present
    cases = by_naming[naming]
    numbering = "2018-2021" if naming == "old" else "2023-2024"
    return DataSet(
        layout="brats",
        edition=_edition(cases[0].name, naming),
        root=root,
        cases=tuple(cases),
        channels=_CHANNELS,
        modalities=("mr",) * 4,
        numberings={numbering: _NUMBERINGS[numbering]},
        task="brats",
        spare=True,
    )


def confirm(data_set: DataSet, voxels: Mapping[int, int]) -> str | None:
    """Say which edition the label values prove.

    Raises:
        DataError: They belong to another edition or challenge than the names of the files.
    """
    values = {value for value, count in voxels.items() if count} - {0}
    if not values:
        return None
    if 4 in values and any(case.name.startswith(_CHILDREN) for case in data_set.cases):
        raise DataError(
            "holds children's tumours (BraTS-PED), where from 2024 on values mean 1 enhancing,"
            " 2 non-enhancing, 3 cyst, 4 oedema, and not what they mean in gliomas of adults",
            where=data_set.root,
            remedy="Name the values in a task of your own and give the data as a CSV list",
        )
    named = ", ".join(f"{value} {name}" for value, name in data_set.labels.items())
    (numbering,) = data_set.numberings
    shown = ", ".join(str(value) for value in sorted(values))
    is_older = numbering == "2023-2024" and 4 in values and 3 not in values
    if is_older or not values <= set(data_set.labels):
        raise DataError(
            f"the files are named as in {data_set.edition}, where values mean {named}, but the"
            f" label maps hold {shown}",
            where=data_set.root,
            remedy="Find out which edition the label maps come from; copies are often renumbered:"
            " rename the files as that edition does, or write a task and a list of your own",
        )
    if numbering != "2023-2024":
        return f"the label values {shown} are those of {data_set.edition}"
    edition = "2024: 4 is the resection cavity" if 4 in values else "2023: no resection cavities"
    return f"the label values {shown} are those of BraTS {edition}"


def _decathlon(root: Path) -> DataSet | None:
    """Return task 01 of the Decathlon; None if there is another, or none."""
    if decathlon.described_folder(root) is None:
        return None
    found = decathlon.recognise(root)
    if found is None or {sequence(name) for name in found.channels} != set(_CHANNELS):
        return None
    parts = _parts(found.labels)
    if sorted(parts.values()) != sorted(_PARTS):
        return None
    return replace(
        found,
        layout="brats",
        edition="BraTS as task 01 of the Medical Segmentation Decathlon",
        numberings={"decathlon": parts},
        modalities=("mr",) * 4,
        task="brats",
    )


def _parts(labels: Mapping[int, str]) -> dict[int, str]:
    """Return which part of a tumour each value is by its name: copies number them in any order."""
    return {
        value: part
        for value, name in labels.items()
        for part in [_part(plain(name))]
        if part is not None
    }


def _part(name: str) -> str | None:
    told = (part for part, marks in _PARTS.items() if any(mark in name for mark in marks))
    return next(told, None)


def _cases(root: Path, naming: str) -> list[Case]:
    """Return the cases of one naming; a file that a case lacks is named as it should be."""
    found: dict[tuple[Path, str], dict[str, Path]] = {}
    for path in results.without(sorted(root.rglob("*.nii*"))):
        match = _FILE.fullmatch(path.name)
        if match is not None and match[naming] and not path.name.startswith("."):
            role = {**_OLD, **_NEW}[match[naming].lower()]
            found.setdefault((path.parent, match["case"]), {})[role] = path
    if not any(set(_CHANNELS) <= roles.keys() for roles in found.values()):
        return []
    return [_case(*place, roles, naming) for place, roles in found.items()]


def _case(folder: Path, name: str, roles: dict[str, Path], naming: str) -> Case:
    mark, table = ("_", _OLD) if naming == "old" else ("-", _NEW)
    written = {role: f"{name}{mark}{word}" for word, role in table.items()}
    ending = "".join(next(iter(roles.values())).name.rpartition(".nii")[1:])
    images = tuple(roles.get(role, folder / (written[role] + ending)) for role in _CHANNELS)
    return Case(
        name=name,
        images=images,
        label=roles.get("seg") or _odd_label(folder, images),
    )


def _odd_label(folder: Path, images: tuple[Path, ...]) -> Path | None:
    """Return the only other file of a folder whose name holds `seg`; None if there is not one."""
    others = [path for path in results.without(folder.glob("*.nii*")) if path not in images]
    found = [path for path in others if "seg" in path.name.lower() and path.name[0] != "."]
    return found[0] if len(found) == 1 else None


def _edition(case: str, naming: str) -> str:
    if naming == "new":
        return "BraTS 2023 or later"
    year = _YEAR.match(case)
    return f"BraTS 20{year['year']}" if year else "BraTS 2018 to 2021"
