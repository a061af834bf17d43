"""ACDC's `Info.cfg`: which frames of a patient are end-diastole and end-systole, and the patient.

One line for each field, such as `ED: 1`. Frames are counted from 1, as in the files' names; the
end-diastolic one is not always the first.

Source: https://www.creatis.insa-lyon.fr/Challenge/acdc/databases.html
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from medseg.errors import DataError, listed

NAME: Final = "Info.cfg"

_HEIGHT_CM: Final = (30, 250)
_WEIGHT_KG: Final = (1, 400)


@dataclass(frozen=True)
class Info:
    """What is known of a patient.

    Attributes:
        ed_frame: Number of the end-diastolic frame, from 1.
        es_frame: Number of the end-systolic frame, from 1.
        group: NOR, MINF, DCM, HCM or RV; None if not told.
        height_cm: None if not told or 0.
        weight_kg: None if not told or 0.
    """

    ed_frame: int
    es_frame: int
    group: str | None = None
    height_cm: float | None = None
    weight_kg: float | None = None


def read(path: Path) -> Info:
    """Read an `Info.cfg`.

    Raises:
        DataError: It cannot be read, names no frames, has no number where one is needed, or holds
            what no patient has.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
        told = {
            name.strip().lower(): value.strip()
            for name, _, value in (line.partition(":") for line in lines)
        }
        info = Info(
            ed_frame=int(told["ed"]),
            es_frame=int(told["es"]),
            group=told.get("group"),
            height_cm=float(told.get("height", 0)) or None,
            weight_kg=float(told.get("weight", 0)) or None,
        )
    except KeyError as error:
        reason = f"names no frame {str(error.args[0]).upper()}"
    except (OSError, ValueError) as error:
        reason = f"cannot be understood: {error}"
    else:
        _require_possible(info, path)
        return info
    raise DataError(reason, where=path, remedy="Copy it anew from the archive of ACDC")


def _require_possible(info: Info, path: Path) -> None:
    remedy = "Copy it anew from the archive of ACDC, where frames are counted from 1"
    if min(info.ed_frame, info.es_frame) < 1 or info.ed_frame == info.es_frame:
        raise DataError(
            f"names frame {info.ed_frame} as end-diastole and {info.es_frame} as end-systole,"
            " which are two frames from 1 on",
            where=path,
            remedy=remedy,
        )
    for name, value, (low, high), unit in (
        ("height", info.height_cm, _HEIGHT_CM, "cm"),
        ("weight", info.weight_kg, _WEIGHT_KG, "kg"),
    ):
        if value is not None and not low <= value <= high:
            raise DataError(
                f"gives a {name} of {value:g}, not one from {low} to {high} {unit}",
                where=path,
                remedy=f"Correct it, in {unit}; 0 if it is not known",
            )


def read_all(root: Path, patients: Sequence[str]) -> dict[str, Info]:
    """Read the `Info.cfg` in the folder of each of `patients`, however deep below `root`.

    Raises:
        DataError: There is no such folder, a patient has none or several, or one cannot be read.
    """
    if not root.is_dir():
        raise DataError("there is no such folder", where=root, remedy="Check the path")
    found: dict[str, list[Path]] = {}
    for path in sorted(root.rglob(NAME)):
        found.setdefault(path.parent.name, []).append(path)
    missing = [patient for patient in patients if patient not in found]
    if missing:
        raise DataError(
            f"has no {NAME} of {listed(missing)}",
            where=root,
            remedy=f"Name the folder that holds patient001/{NAME} and the others",
        )
    twice = [patient for patient in patients if len(found[patient]) > 1]
    if twice:
        raise DataError(
            f"has several {NAME} of {listed(twice)}",
            where=root,
            remedy="Name a folder that holds every patient once",
        )
    return {patient: read(found[patient][0]) for patient in patients}
