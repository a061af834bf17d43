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
        DataError: It cannot be read, names no frames, or has no number where one is needed.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
        told = {
            name.strip().lower(): value.strip()
            for name, _, value in (line.partition(":") for line in lines)
        }
        return Info(
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
    raise DataError(reason, where=path, remedy="Copy it anew from the archive of ACDC")


def read_all(root: Path, patients: Sequence[str]) -> dict[str, Info]:
    """Read the `Info.cfg` in the folder of each of `patients`, however deep below `root`.

    Raises:
        DataError: A patient has none, or more than one, or one cannot be read.
    """
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
