"""Function of the heart from its end-diastolic (ED) and end-systolic (ES) label maps.

For the left (LV) and the right ventricle (RV): volume of the cavity at ED (EDV) and at ES (ESV),
stroke volume SV = EDV - ESV in mL, ejection fraction EF = 100 SV / EDV in %. Mass of the myocardium
in g: its volume at ED times 1.05 g/mL. Volumes and mass also per square metre of body surface, by
Mosteller's formula: sqrt(height in cm x weight in kg / 3600).

A case is called `patientNNN_frameFF`; which frame is ED and which is ES says the patient's
`Info.cfg`, as do height and weight. An EF is NaN if the EDV is 0, and what is indexed is NaN if
height or weight is not told.

Source: Bernard et al. 2018 (ACDC), https://doi.org/10.1109/TMI.2018.2837502; density and indexing:
Schulz-Menger et al. 2020, https://doi.org/10.1186/s12968-020-00610-6; body surface: Mosteller 1987,
https://doi.org/10.1056/NEJM198710223171717
"""

import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from medseg.data import info_cfg
from medseg.data.info_cfg import Info
from medseg.errors import DataError, listed
from medseg.evaluation.clinical import Number, VolumesMl

SOURCE: Final = "https://doi.org/10.1109/TMI.2018.2837502"
REGIONS: Final = ("left_ventricle", "right_ventricle", "myocardium")
NEEDS_DATA: Final = True

DENSITY_G_PER_ML: Final = 1.05
"""Of myocardium."""

_CASE: Final = re.compile(r"(?P<patient>patient\d+)_frame(?P<frame>\d+)")

Frames = Mapping[int, Mapping[str, float]]
"""By the number of a frame, then by region: its volume in millilitres."""


def compute(volumes_ml: VolumesMl, data: Path | None) -> list[Number]:
    """Compute the function of every patient's heart.

    Args:
        volumes_ml: By case.
        data: The folder below which every patient's folder holds its `Info.cfg`.

    Raises:
        ValueError: `data` is None.
        DataError: A case is called otherwise, or an `Info.cfg` or a frame is missing.
    """
    if data is None:
        raise ValueError("without the folder of Info.cfg nothing is known of the frames")
    patients = _by_patient(volumes_ml)
    infos = info_cfg.read_all(data, list(patients))
    _require_both_frames(patients, infos)
    return [
        Number(patient, quantity, unit, value)
        for patient, frames in patients.items()
        for quantity, unit, value in _numbers(frames, infos[patient])
    ]


def body_surface_m2(height_cm: float, weight_kg: float) -> float:
    """Return the surface of a body by Mosteller's formula, in square metres."""
    return math.sqrt(height_cm * weight_kg / 3600)


def _by_patient(volumes_ml: VolumesMl) -> dict[str, dict[int, Mapping[str, float]]]:
    patients: dict[str, dict[int, Mapping[str, float]]] = {}
    odd = []
    for case, by_region in volumes_ml.items():
        named = _CASE.fullmatch(case)
        if named is None:
            odd.append(case)
        else:
            patients.setdefault(named["patient"], {})[int(named["frame"])] = by_region
    if odd:
        raise DataError(
            f"cases without the number of a patient and a frame: {listed(odd)}",
            remedy="Call them as ACDC does, such as patient001_frame12, or leave out --data",
        )
    return patients


def _require_both_frames(patients: Mapping[str, Frames], infos: Mapping[str, Info]) -> None:
    missing = [
        f"{patient} frame {frame}"
        for patient, frames in patients.items()
        for frame in (infos[patient].ed_frame, infos[patient].es_frame)
        if frame not in frames
    ]
    if missing:
        raise DataError(
            f"lacks frames that Info.cfg names as end-diastole or end-systole: {listed(missing)}",
            remedy="Add their references and predictions, or leave out --data",
        )


def _numbers(frames: Frames, info: Info) -> Iterator[tuple[str, str, float]]:
    """Yield each quantity with its unit and value."""
    surface_m2 = math.nan
    if info.height_cm is not None and info.weight_kg is not None:
        surface_m2 = body_surface_m2(info.height_cm, info.weight_kg)
    diastole, systole = frames[info.ed_frame], frames[info.es_frame]
    for name, region in (("LV", "left_ventricle"), ("RV", "right_ventricle")):
        edv_ml, esv_ml = diastole[region], systole[region]
        sv_ml = edv_ml - esv_ml
        for quantity, value in (("EDV", edv_ml), ("ESV", esv_ml), ("SV", sv_ml)):
            yield f"{name} {quantity}", "mL", value
            yield f"{name} {quantity} index", "mL/m2", value / surface_m2
        yield f"{name} EF", "%", 100 * sv_ml / edv_ml if edv_ml > 0 else math.nan
    mass_g = DENSITY_G_PER_ML * diastole["myocardium"]
    yield "LV mass", "g", mass_g
    yield "LV mass index", "g/m2", mass_g / surface_m2
