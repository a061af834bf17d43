"""ACDC, hearts at end-diastole and end-systole: `patientNNN` folders with their `Info.cfg`.

`Info.cfg` names the two frames; the order of the files says nothing. The newer archive has
`database/training/patient001`, the older `training/patient001`; the files of the testing patients
have labels in the newer one alone. Both frames of a patient are always in one part.

Source: https://humanheart-project.creatis.insa-lyon.fr/database/; the 70/10/20 list is nnFormer's,
`nnFormerTrainerV2_nnformer_acdc.py`, https://github.com/282857341/nnFormer
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from medseg.data import info_cfg
from medseg.data.cases import Case
from medseg.data.data_set import DataSet, Part

RANK: Final = 0

_VALUES: Final = {1: "right_ventricle", 2: "myocardium", 3: "left_ventricle"}
_VALIDATION: Final = (89, 90, 91, 93, 94, 96, 97, 98, 99, 100)
_TEST: Final = (2, 3, 8, 9, 12, 14, 17, 24, 42, 48, 49, 53, 55, 64, 67, 79, 81, 88, 92, 95)
_TRAINING: Final = tuple(sorted(set(range(1, 101)) - {*_VALIDATION, *_TEST}))


def recognise(root: Path) -> DataSet | None:
    """Return the two frames of every patient below `root`, or of the patient whose folder it is.

    Raises:
        DataError: An `Info.cfg` cannot be read, or a patient has several.
    """
    if not root.is_dir():
        return None
    folders = sorted(path.parent for path in root.rglob(info_cfg.NAME))
    if not folders:
        return None
    infos = info_cfg.read_all(root, sorted({folder.name for folder in folders}))
    cases = [
        _case(folder, frame)
        for folder in folders
        for frame in (infos[folder.name].ed_frame, infos[folder.name].es_frame)
    ]
    listed = {patient for part in (_TRAINING, _VALIDATION, _TEST) for patient in _patients(part)}
    beside = {folder.name for folder in folders} - listed
    notes = (f"{len(beside)} patients are in no part of 70-10-20",) if beside else ()
    return DataSet(
        layout="acdc",
        edition="ACDC",
        root=root,
        cases=tuple(cases),
        channels=("cine",),
        modalities=("mr",),
        numberings={"acdc": _VALUES},
        task="acdc",
        spare=True,
        splits={
            "70-10-20": (
                Part(_patients(_TRAINING), _patients(_TEST), validation=_patients(_VALIDATION)),
            )
        },
        notes=notes,
    )


def _patients(numbers: Iterable[int]) -> tuple[str, ...]:
    return tuple(f"patient{number:03d}" for number in numbers)


def _case(folder: Path, frame: int) -> Case:
    """Return a frame; an image that is not there is named as it should be."""
    name = f"{folder.name}_frame{frame:02d}"
    image = _present(folder, name) or folder / f"{name}.nii.gz"
    label = _present(folder, f"{name}_gt")
    is_test = folder.parent.name == "testing"
    return Case(name, (image,), label, patient=folder.name, test=is_test)


def _present(folder: Path, stem: str) -> Path | None:
    """Return the file of that name; None if there is none."""
    for ending in (".nii.gz", ".nii"):
        path = folder / f"{stem}{ending}"
        if path.is_file():
            return path
    return None
