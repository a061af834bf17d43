"""Slices of a scan with outlines, as drawings that stay sharp when a page is printed or enlarged.

Slices are seen as radiologists do: the patient's right, or front, is on the left. A drawing is
measured in millimetres, so that its aspect is right whatever the voxels are.
"""

import base64
import io
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float64, Shaped, UInt8

from medseg.evaluation.worst_cases import ENDS, in_file, slice_of, upright
from medseg.segmentation import Segmentation
from medseg.shapes import LabelMap, Mask, Spacing
from medseg.task import Task
from medseg.volume import Grid, Volume

MOST_WORST: Final = 6
"""How many of the slices that differ most are drawn."""

PLANES: Final = ("sagittal", "coronal", "axial")
"""By the axis of RAS+ that goes through them."""

_APART_MM: Final = 4.0


@dataclass(frozen=True)
class Outline:
    """The border of a structure in a slice.

    Attributes:
        title: Of the structure, for people.
        colour: `#rrggbb`.
        path: As SVG writes it, in millimetres.
        is_reference: Whether it is the reference's.
    """

    title: str
    colour: str
    path: str
    is_reference: bool


@dataclass(frozen=True)
class Drawing:
    """A slice.

    Attributes:
        plane: Such as `axial`.
        place: Which slice of the file it is, such as `k = 12`.
        wide_mm, high_mm: Its size.
        image: The scan as PNG, in base64.
        outlines: What is drawn on it.
        sides: Letters of the patient's sides: left, right, lower and upper edge of the drawing.
        differing_mm2: Area that reference and prediction label differently; None without one.
        dice: Of all labels in this slice; None without a reference.
    """

    plane: str
    place: str
    wide_mm: float
    high_mm: float
    image: str
    outlines: tuple[Outline, ...]
    sides: tuple[str, str, str, str]
    differing_mm2: float | None = None
    dice: float | None = None


@dataclass(frozen=True, eq=False)
class Upright:
    """A case with its axes along those of the patient, ready to be cut."""

    scan: Shaped[np.ndarray, "i j k"]
    prediction: LabelMap
    reference: LabelMap | None
    spacing_mm: Spacing
    grid: Grid
    task: Task
    window: tuple[float, float]


def stand(
    scan: Volume,
    segmentation: Segmentation,
    reference: Segmentation | None,
    window: tuple[float, float],
) -> Upright:
    """Turn the first channel of a scan and its label maps upright.

    Args:
        scan: The scan.
        segmentation: What was found, on the scan's grid.
        reference: What is there, on the same grid.
        window: Intensities that become black and white.
    """
    grid = segmentation.grid
    voxels, spacing_mm = upright(scan.voxels[:1], grid)
    found, _ = upright(segmentation.label_map[None], grid)
    known = None if reference is None else upright(reference.label_map[None], grid)[0]
    return Upright(voxels, found, known, spacing_mm, grid, segmentation.task, window)


def three_planes(case: Upright) -> list[Drawing]:
    """Draw the axial, coronal and sagittal slices that hold most of what is labelled."""
    labelled = case.prediction > 0
    if not labelled.any() and case.reference is not None:
        labelled = case.reference > 0
    places = [_fullest(labelled, axis) for axis in range(3)]
    return [_draw(case, axis, places[axis]) for axis in (2, 1, 0)]


def worst(case: Upright, most: int = MOST_WORST) -> list[Drawing]:
    """Draw the slices in which prediction and reference differ on the largest area, it first.

    None are nearer to each other than 4 mm; slices without a difference are left out.
    """
    if case.reference is None:
        return []
    axis, _ = slice_of(case.reference, case.prediction, case.spacing_mm)
    others = tuple(other for other in range(3) if other != axis)
    differing = (case.reference != case.prediction).sum(axis=others)
    chosen: list[int] = []
    for place in np.argsort(-differing, kind="stable").tolist():
        apart_mm = [abs(place - other) * case.spacing_mm[axis] for other in chosen]
        if differing[place] and len(chosen) < most and all(mm >= _APART_MM for mm in apart_mm):
            chosen.append(place)
    return [_draw(case, axis, place) for place in chosen]


def _fullest(labelled: Mask, axis: int) -> int:
    others = tuple(other for other in range(3) if other != axis)
    counts = labelled.sum(axis=others)
    return int(counts.argmax()) if counts.any() else labelled.shape[axis] // 2


def _draw(case: Upright, axis: int, place: int) -> Drawing:
    across, up = (other for other in range(3) if other != axis)
    wide_mm, high_mm = (
        round(case.scan.shape[side] * case.spacing_mm[side], 2) for side in (across, up)
    )
    found = _seen(case.prediction, axis, place)
    known = None if case.reference is None else _seen(case.reference, axis, place)
    step = (case.spacing_mm[across], case.spacing_mm[up])
    outlines = _outlines(found, case.task, step, is_reference=False)
    if known is not None:
        outlines += _outlines(known, case.task, step, is_reference=True)
    (low_x, high_x), (low_y, high_y) = ENDS[across], ENDS[up]
    return Drawing(
        plane=PLANES[axis],
        place=in_file(case.grid, axis, place),
        wide_mm=wide_mm,
        high_mm=high_mm,
        image=_png(_grey(_seen(case.scan, axis, place), case.window)),
        outlines=tuple(outlines),
        sides=(high_x, low_x, low_y, high_y),
        differing_mm2=None if known is None else float((known != found).sum()) * step[0] * step[1],
        dice=None if known is None else _dice(known, found),
    )


def _seen(
    voxels: Shaped[np.ndarray, "i j k"], axis: int, place: int
) -> Shaped[np.ndarray, "rows columns"]:
    """Return a slice as it is seen: rows from above, what is right or front on the left."""
    return np.take(voxels, place, axis).T[::-1, ::-1]


def _dice(
    known: Shaped[np.ndarray, "rows columns"], found: Shaped[np.ndarray, "rows columns"]
) -> float | None:
    """Return twice the voxels with the same label over those with any; None if there are none."""
    labelled = int((known > 0).sum() + (found > 0).sum())
    return 2 * int(((known == found) & (known > 0)).sum()) / labelled if labelled else None


def _grey(
    plane: Shaped[np.ndarray, "rows columns"], window: tuple[float, float]
) -> UInt8[np.ndarray, "rows columns"]:
    low, high = window
    scaled = (plane.astype(np.float64) - low) / ((high - low) or 1.0)
    return np.round(255 * np.clip(np.nan_to_num(scaled), 0, 1)).astype(np.uint8)


def _png(grey: UInt8[np.ndarray, "rows columns"]) -> str:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(grey).save(buffer, "PNG", optimize=True)
    return base64.b64encode(buffer.getvalue()).decode()


def _outlines(
    labels: Shaped[np.ndarray, "rows columns"],
    task: Task,
    step_mm: tuple[float, float],
    *,
    is_reference: bool,
) -> list[Outline]:
    drawn = []
    for name, label in task.labels.items():
        path = _path(labels == label.value, step_mm)
        if path:
            drawn.append(Outline(task.title_of(name), label.colour, path, is_reference))
    return drawn


def _path(mask: Shaped[np.ndarray, "rows columns"], step_mm: tuple[float, float]) -> str:
    """Return the borders of a mask as an SVG path; its voxels' corners begin at 0."""
    from skimage.measure import find_contours

    parts = []
    for contour in find_contours(np.pad(mask, 1).astype(float), 0.5):
        corners = (_corners(contour[:-1]) - 0.5)[:, ::-1] * step_mm
        parts.append("M" + "L".join(f"{x:.2f} {y:.2f}" for x, y in corners.tolist()) + "Z")
    return "".join(parts)


def _corners(points: Float64[np.ndarray, "points 2"]) -> Float64[np.ndarray, "corners 2"]:
    """Return those of the points of a closed line at which it turns."""
    before, after = points - np.roll(points, 1, axis=0), np.roll(points, -1, axis=0) - points
    return points[before[:, 0] * after[:, 1] != before[:, 1] * after[:, 0]]
