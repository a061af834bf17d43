"""Slices in the order of the patient; whatever is no regular stack is refused and explained."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from jaxtyping import Float64

from medseg.errors import ImageError
from medseg.formats.dicom.headers import DISTINCTIONS, Slice
from medseg.shapes import Affine

_RAS_FROM_LPS: Final = np.diag([-1.0, -1.0, 1.0, 1.0])
_GAP: Final = 1.5
"""A step this many times the usual one means a missing slice."""
_UNEVEN: Final = 0.25
"""How far a slice may lie from where even steps put it, in steps."""
_SAME: Final = 1e-3
"""Largest difference between directions or pixel sizes that count as equal."""
_TILT_DEGREES: Final = 0.5
"""From this angle on between the slices' normal and the way from slice to slice, it is a tilt."""
_PLANES: Final = ("sagittal", "coronal", "axial")


def arranged(slices: list[Slice], where: Path) -> list[Slice]:
    """Return the slices of one series sorted along their normal.

    Raises:
        ImageError: They are a single one, of several orientations or pixel sizes, at one place,
            incomplete, unevenly spaced, or of a tilted gantry.
    """
    if len(slices) < 2:
        raise ImageError(
            "holds a single DICOM slice",
            where=where,
            remedy="Give the folder that holds all slices of the series",
        )
    _require_one_orientation(slices, where)
    _require_one_size(slices)
    normal = _normal(slices[0])
    ordered = sorted(slices, key=lambda part: float(part.position @ normal))
    _require_distinct_places(ordered, where)
    _require_even_steps(ordered, where)
    _require_no_tilt(ordered, where)
    return ordered


def affine(slices: Sequence[Slice]) -> Affine:
    """Return the place of the sorted `slices`: voxel indices to RAS+ millimetres."""
    first, last = slices[0], slices[-1]
    lps = np.eye(4)
    lps[:3, :2] = first.in_plane.T
    lps[:3, 2] = (last.position - first.position) / (len(slices) - 1)
    lps[:3, 3] = first.position
    return _RAS_FROM_LPS @ lps


def _normal(part: Slice) -> Float64[np.ndarray, "3"]:
    normal = np.cross(*part.in_plane)
    return normal / np.linalg.norm(normal)


def _require_one_orientation(slices: list[Slice], where: Path) -> None:
    first = _directions(slices[0])
    unlike = [part for part in slices if np.abs(_directions(part) - first).max() > _SAME]
    if unlike:
        planes = Counter(_PLANES[int(np.abs(_normal(part)).argmax())] for part in slices)
        counts = ", ".join(f"{count} {plane}" for plane, count in planes.items())
        raise ImageError(
            f"holds slices of several orientations ({counts}), such as"
            f" {slices[0].path.name} and {unlike[0].path.name}",
            where=where,
            remedy="Keep one stack of parallel slices in the folder, without overview images",
        )


def _directions(part: Slice) -> Float64[np.ndarray, "2 3"]:
    return part.in_plane / np.linalg.norm(part.in_plane, axis=1, keepdims=True)


def _require_one_size(slices: list[Slice]) -> None:
    first = slices[0]
    for part in slices:
        if part.shape != first.shape or not np.allclose(part.in_plane, first.in_plane, atol=_SAME):
            raise ImageError(
                f"differs from {first.path.name} in pixel size or number of pixels",
                where=part.path,
                remedy="Keep the slices of one stack in the folder, without overview images",
            )


def _steps_mm(slices: list[Slice]) -> Float64[np.ndarray, " steps"]:
    positions = np.stack([part.position for part in slices])
    return np.diff(positions @ _normal(slices[0]))


def _require_distinct_places(slices: list[Slice], where: Path) -> None:
    steps_mm = _steps_mm(slices)
    if steps_mm.min() >= _SAME:
        return
    at = int(steps_mm.argmin())
    one, other = slices[at].fields, slices[at + 1].fields
    differing = [name for name in DISTINCTIONS if one.get(name) != other.get(name)]
    if one.get("instance") == other.get("instance"):
        reason, remedy = "one is a copy of the other", "Remove the copies"
    elif differing:
        reason = f"they differ in {' and '.join(differing)}"
        remedy = f"Keep the slices of one {differing[0]} in the folder"
    else:
        reason = "their headers do not say why"
        remedy = "Keep one time point, echo or direction in the folder"
    raise ImageError(
        f"holds several slices at one place, such as {_both_sides(slices, at)}: {reason}",
        where=where,
        remedy=remedy,
    )


def _require_even_steps(slices: list[Slice], where: Path) -> None:
    steps_mm = _steps_mm(slices)
    usual_mm = float(np.median(steps_mm))
    if steps_mm.max() > _GAP * usual_mm:
        raise ImageError(
            f"lacks slices: {_both_sides(slices, int(steps_mm.argmax()))} are"
            f" {steps_mm.max():.2f} mm apart, the others {usual_mm:.2f} mm",
            where=where,
            remedy="Copy the series anew and whole",
        )
    positions = np.stack([part.position for part in slices])
    even = np.linspace(positions[0], positions[-1], len(slices))
    if np.linalg.norm(positions - even, axis=1).max() > _UNEVEN * usual_mm:
        raise ImageError(
            f"holds unevenly spaced slices, {steps_mm.min():.2f} to {steps_mm.max():.2f} mm apart",
            where=where,
            remedy="Give a series with even steps, or resample it to such",
        )


def _require_no_tilt(slices: list[Slice], where: Path) -> None:
    way = slices[-1].position - slices[0].position
    cosine = float(way @ _normal(slices[0]) / np.linalg.norm(way))
    degrees = float(np.degrees(np.arccos(min(1.0, cosine))))
    if degrees > _TILT_DEGREES:
        raise ImageError(
            f"was taken with a tilted gantry: each slice is shifted against the one before, by"
            f" {degrees:.1f} degrees, so that its voxels are no boxes",
            where=where,
            remedy="Straighten it first; dcm2niix does and writes a file whose name ends in _Tilt",
        )


def _both_sides(slices: list[Slice], step: int) -> str:
    return f"{slices[step].path.name} and {slices[step + 1].path.name}"
