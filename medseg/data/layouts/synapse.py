"""Synapse multi-organ CT (BTCV, syn3193805): the archive, its 8-organ subset, TransUNet's copies.

| | files | label values |
|---|---|---|
| archive | `RawData/Training/{img/img0001,label/label0001}.nii.gz`, `Testing/img` | 13 organs |
| subset | the same names | 8 organs, with their own values or renumbered |
| copies | `train_npz/case0005_slice000.npz`, `test_vol_h5/case0001.npy.h5` | 8 organs, renumbered |

Three renumberings of the subset are about. They hold the same values, so that files do not name
theirs; it is told by how large the organs are, or by its name with `--numbering`.

Copies have their slices first and no geometry; those of different sources differ by a flip.

Source: https://www.synapse.org/Synapse:syn3193805; the 18/12 split: TransUNet, `lists_Synapse`,
https://github.com/Beckschen/TransUNet; 24/6: Swin UNETR's `dataset_0.json`; CASCADE:
https://github.com/SLDGroup/CASCADE, `dataset_synapse.py`
"""

import math
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np

from medseg import formats
from medseg.data.cases import Case
from medseg.data.data_set import DataSet, Part
from medseg.errors import DataError

RANK: Final = 0

ORIGINAL: Final = "original"
_NUMBERINGS: Final[dict[str, tuple[str, ...]]] = {
    ORIGINAL: (
        *("spleen", "right_kidney", "left_kidney", "gallbladder", "oesophagus", "liver"),
        *("stomach", "aorta", "inferior_vena_cava", "portal_and_splenic_vein", "pancreas"),
        *("right_adrenal_gland", "left_adrenal_gland"),
    ),
    "transunet": (
        *("aorta", "gallbladder", "left_kidney", "right_kidney"),
        *("liver", "pancreas", "spleen", "stomach"),
    ),
    "cascade": (
        *("spleen", "right_kidney", "left_kidney", "gallbladder"),
        *("pancreas", "liver", "stomach", "aorta"),
    ),
    "compacted": (
        *("spleen", "right_kidney", "left_kidney", "gallbladder"),
        *("liver", "stomach", "aorta", "pancreas"),
    ),
}
_TYPICAL_ML: Final = {
    **{"liver": 1500, "stomach": 400, "spleen": 220, "right_kidney": 160, "left_kidney": 160},
    **{"aorta": 90, "pancreas": 80, "gallbladder": 30, "oesophagus": 15, "inferior_vena_cava": 80},
    **{"portal_and_splenic_vein": 35, "right_adrenal_gland": 4, "left_adrenal_gland": 5},
}
_RENUMBERED: Final = frozenset(range(1, 9))
_CLEARLY: Final = 1.0
"""How much worse, in natural logarithms of volumes summed, a numbering fits that is refused."""

_LOOKED_AT: Final = 4  # label maps, to tell the numbering
_TEST_12: Final = (1, 2, 3, 4, 8, 22, 25, 29, 32, 35, 36, 38)
_TEST_6: Final = (35, 36, 37, 38, 39, 40)
_LABELLED: Final = (*range(1, 11), *range(21, 41))

_FOLDERS: Final = ("img", "imagesTr", "imagesTs")
_SCAN: Final = re.compile(r"(img|case)(?P<number>\d{4})(\.nii(\.gz)?|\.npy\.h5|_slice\d+\.npz)")


def recognise(root: Path) -> DataSet | None:
    """Return the cases below `root`, labelled or not.

    Raises:
        DataError: The archive and a copy of it lie side by side, or a scan is there twice.
        ImageError: A label map is damaged that the numbering is told by.
    """
    if not root.is_dir():
        return None
    scans: dict[tuple[str, str], Path] = {}
    for path in sorted(root.rglob("*[0-9]*")):
        match = _SCAN.fullmatch(path.name)
        if match is not None and (match[1] == "case" or path.parent.name in _FOLDERS):
            first = scans.setdefault((match[1], match["number"]), path)
            _require_beside(path, first, root)
    kinds = {kind for kind, _ in scans}
    if len(kinds) > 1:
        raise DataError(
            "holds the archive (img0001) beside a copy of it (case0001), the same patients twice",
            where=root,
            remedy="Give the folder of one of them",
        )
    if not kinds:
        return None
    is_copy = kinds == {"case"}
    cases = tuple(_case(number, path) for (_, number), path in scans.items())
    return DataSet(
        layout="synapse",
        edition="Synapse in TransUNet's copies" if is_copy else "Synapse multi-organ CT",
        root=root,
        cases=cases,
        channels=("ct",),
        modalities=("ct",),
        numberings={name: dict(enumerate(organs, start=1)) for name, organs in _NUMBERINGS.items()},
        numbering=_told(cases, "transunet" if is_copy else ORIGINAL),
        task="synapse",
        spare=True,
        has_geometry=not is_copy,
        splits={"18-12": _part(_TEST_12), "24-6": _part(_TEST_6)},
        notes=_notes(is_copy=is_copy),
    )


def confirm(data_set: DataSet, voxels: Mapping[int, int]) -> str | None:
    """Say which numbering the sizes of the organs prove.

    Raises:
        DataError: They fit another numbering clearly better.
    """
    chosen = data_set.numbering or ORIGINAL
    misfits = _misfits(voxels)
    if not misfits:
        return None
    best = min(misfits, key=lambda name: misfits[name])
    if best != chosen and misfits.get(chosen, math.inf) > misfits[best] + _CLEARLY:
        raise DataError(
            f"the values are taken to be numbered as {chosen}, but the sizes of the organs are"
            f" those of {best}",
            where=data_set.root,
            remedy=f"Name the numbering with --numbering {best}, or look at the label maps",
        )
    return f"numbered as {chosen}: the sizes of the organs agree"


def _case(number: str, path: Path) -> Case:
    if path.name.startswith("case"):
        return Case(f"case{number}", (path,), label=path, patient=number)
    folders = {"img": "label", "imagesTr": "labelsTr"}
    name = path.name.replace("img", "label", 1)
    label = path.parent.with_name(folders.get(path.parent.name, "label")) / name
    return Case(f"img{number}", (path,), label if label.is_file() else None, patient=number)


def _require_beside(path: Path, first: Path, root: Path) -> None:
    if path.parent != first.parent:
        raise DataError(
            f"holds one scan twice, as {first.relative_to(root)} and as {path.relative_to(root)}",
            where=root,
            remedy="Give the folder of one of the copies",
        )


def _told(cases: tuple[Case, ...], usual: str) -> str:
    """Return the numbering that fits the sizes of the organs in some of the label maps best."""
    voxels: Counter[int] = Counter()
    for label in [case.label for case in cases if case.label is not None][:_LOOKED_AT]:
        values, counts = np.unique(formats.read_label_map(label).voxels, return_counts=True)
        voxels.update(dict(zip(values.astype(int).tolist(), counts.tolist(), strict=True)))
    misfits = _misfits(voxels)
    if misfits.get(usual, math.inf) <= min(misfits.values(), default=math.inf) + _CLEARLY:
        return usual
    return min(misfits, key=lambda name: misfits[name])


def _misfits(voxels: Mapping[int, int]) -> dict[str, float]:
    """Return for each numbering how far the organs' shares of the voxels are from the usual ones.

    Numberings that lack a value are left out, and so is the archive's if the values are 1 to 8: its
    pancreas is 11. The shares are compared by their logarithms.
    """
    counts = {value: count for value, count in voxels.items() if value and count}
    misfits = {}
    for name, organs in _NUMBERINGS.items():
        is_renumbered = name == ORIGINAL and set(counts) == _RENUMBERED
        if not counts or max(counts) > len(organs) or min(counts) < 1 or is_renumbered:
            continue
        ratios = [
            math.log(count / _TYPICAL_ML[organs[value - 1]]) for value, count in counts.items()
        ]
        middle = float(np.median(ratios))
        misfits[name] = sum(abs(ratio - middle) for ratio in ratios)
    return misfits


def _part(test: tuple[int, ...]) -> tuple[Part]:
    training = tuple(f"{number:04d}" for number in _LABELLED if number not in test)
    return (Part(training, tuple(f"{number:04d}" for number in test)),)


def _notes(*, is_copy: bool) -> tuple[str, ...]:
    split = (
        "Papers choose their model on the 12 test cases of 18-12; medseg watches training with"
        " some of the 18 instead. 24-6 has another test set: scores of the two are not comparable"
    )
    geometry = (
        "These copies do not say where voxels lie: slices, the first axis, are taken as the last,"
        " voxels as 1 mm, so that distances are in voxels and volumes in voxels / 1000; copies of"
        " different sources differ by a flip, so do not mix them"
    )
    return (split, geometry) if is_copy else (split,)
