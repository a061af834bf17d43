"""The cases with the lowest Dice: both outlines, on the slice where they differ most."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from medseg import regions
from medseg.errors import DataError
from medseg.evaluation import drawing
from medseg.evaluation.pair import Status
from medseg.evaluation.score import Score, Scores
from medseg.segmentation import Segmentation
from medseg.shapes import LabelMap, Spacing, Voxels
from medseg.task import Task
from medseg.volume import Grid, Volume, to_ras

MOST: Final = 6
"""How many cases are drawn."""

_BESIDE: Final = 3
_MARGIN: Final = 8  # voxels around what is labelled
_MOST_IN_LEGEND: Final = 12
_FLAT: Final = 1.5  # times the other voxel sides, from which on slices are shown as they were taken


@dataclass(frozen=True)
class Ranked:
    """A case that may be drawn.

    Attributes:
        case: Its name.
        dice: The mean over the regions that it holds.
        missed: The regions that one side alone holds, such as `liver missed`.
    """

    case: str
    dice: float
    missed: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Shown:
    """A case to be drawn.

    Attributes:
        ranked: Its name and Dice.
        reference: What is there.
        prediction: What was found, on the same grid.
        image: The scan, on the same grid too; the reference's labels are shaded if absent.
    """

    ranked: Ranked
    reference: Segmentation
    prediction: Segmentation
    image: Volume | None = None


def worst(scores: Scores, *, most: int = MOST) -> list[Ranked]:
    """Return the cases with the lowest mean Dice, the lowest first; absent regions are left out."""
    by_case: dict[str, list[Score]] = {}
    for row in scores.rows:
        if not math.isnan(row.values["dice"]):
            by_case.setdefault(row.case, []).append(row)
    ranked = [_ranked(case, rows) for case, rows in by_case.items()]
    return sorted(ranked, key=lambda one: one.dice)[:most]


def require_same_grid(image: Volume, reference: Grid, path: Path) -> None:
    """Refuse a scan that outlines cannot be drawn on.

    Raises:
        DataError: It lies on another grid than the reference.
    """
    if not image.grid.matches(reference):
        raise DataError(
            "lies on another grid than its reference",
            where=path,
            remedy="Give the scan the reference was drawn on, or leave out --images",
        )


def draw(cases: Sequence[Shown], path: Path) -> None:
    """Draw a PNG with a panel for each case: reference in full lines, prediction dashed.

    Each shows the slice with the most voxels that differ, along the axis of the thickest slices,
    else from below.

    Raises:
        OutputError: The disk is full, or the place is not writable.
    """
    rows = -(-len(cases) // _BESIDE) or 1
    beside = min(_BESIDE, max(len(cases), 1))
    figure = drawing.canvas(3.6 * beside, 3.8 * rows + 0.6)
    panels = figure.subplots(rows, beside, squeeze=False).ravel()
    for panel in panels:
        panel.set_axis_off()
    for panel, case in zip(panels, cases, strict=False):
        _fill(panel, case)
    figure.suptitle("reference: full lines; prediction: dashed", fontsize="small")
    if cases:
        _explain_colours(figure, cases[0].reference.task)
    drawing.write(figure, path)


def slice_of(reference: LabelMap, prediction: LabelMap, spacing_mm: Spacing) -> tuple[int, int]:
    """Return the axis and the place of the slice to show; the axes are those of RAS+."""
    steps = np.array(spacing_mm)
    thickest = int(steps.argmax())
    axis = thickest if steps[thickest] > _FLAT * np.median(steps) else 2
    others = tuple(other for other in range(3) if other != axis)
    differing = (reference != prediction).sum(axis=others)
    labelled = ((reference > 0) | (prediction > 0)).sum(axis=others)
    return axis, int((differing if differing.any() else labelled).argmax())


def _ranked(case: str, rows: Sequence[Score]) -> Ranked:
    dice = math.fsum(row.values["dice"] for row in rows) / len(rows)
    missed = tuple(
        f"{row.region} {str(row.status).replace('_', ' ')}"
        for row in rows
        if row.status in (Status.MISSED, Status.FALSE_ALARM)
    )
    return Ranked(case, dice, missed)


def _title(case: Ranked, place: int) -> str:
    more = [f"and {len(case.missed) - 2} more"] if len(case.missed) > 3 else []
    named = [*case.missed[: 2 if more else 3], *more]
    return "\n".join([case.case, f"Dice {case.dice:.3f}, slice {place + 1}", *named])


def _fill(panel: Any, case: Shown) -> None:
    task = case.reference.task
    reference, spacing_mm = _upright(case.reference.label_map[None], case.reference.grid)
    prediction, _ = _upright(case.prediction.label_map[None], case.reference.grid)
    axis, place = slice_of(reference, prediction, spacing_mm)
    known, found = (np.take(each, [place], axis) for each in (reference, prediction))
    first, second = (other for other in range(3) if other != axis)
    if case.image is not None:
        image, _ = _upright(case.image.voxels[:1], case.reference.grid)
        _show_scan(panel, np.take(image, place, axis).astype(np.float32))
    for region in task.region_names:
        colour = {**task.labels, **task.regions}[region].colour
        masks = [regions.mask_of(each, task, region).squeeze(axis) for each in (known, found)]
        if case.image is None:
            _outline(panel, masks[0], colour, filled=True)
        for mask, style in zip(masks, ("solid", "dashed"), strict=True):
            _outline(panel, mask, colour, style=style)
    _look_at(panel, ((known > 0) | (found > 0)).squeeze(axis))
    panel.set_aspect(spacing_mm[second] / spacing_mm[first])
    panel.set_title(drawing.plain(_title(case.ranked, place)), fontsize="small")


def _upright(voxels: Voxels, grid: Grid) -> tuple[np.ndarray, Spacing]:
    turned = to_ras(Volume(voxels, Grid(grid.shape, grid.affine)))
    return turned.voxels[0], turned.spacing_mm


def _show_scan(panel: Any, plane: np.ndarray) -> None:
    finite = plane[np.isfinite(plane)]
    low, high = np.percentile(finite, [1, 99]) if finite.size else (0, 1)
    panel.imshow(plane.T, cmap="gray", origin="lower", vmin=low, vmax=high)


def _outline(
    panel: Any, mask: np.ndarray, colour: str, *, style: str = "solid", filled: bool = False
) -> None:
    if not mask.any():
        return
    padded = np.pad(mask, 1).astype(float).T  # outlines close at the image's border
    places = [np.arange(-1, size + 1) for size in mask.shape]
    if filled:
        panel.contourf(*places, padded, levels=[0.5, 1.5], colors=[colour], alpha=0.25)
    else:
        panel.contour(
            *places, padded, levels=[0.5], colors=[colour], linestyles=[style], linewidths=1.5
        )


def _look_at(panel: Any, labelled: np.ndarray) -> None:
    """Show what is labelled, and a little around it."""
    if not labelled.any():
        return
    for axis, limit in ((0, panel.set_xlim), (1, panel.set_ylim)):
        filled = np.flatnonzero(labelled.any(axis=1 - axis))
        limit(filled[0] - _MARGIN, filled[-1] + _MARGIN)


def _explain_colours(figure: Any, task: Task) -> None:
    from matplotlib.lines import Line2D

    names = task.region_names[:_MOST_IN_LEGEND]
    structures = {**task.labels, **task.regions}
    lines = [Line2D([], [], color=structures[name].colour) for name in names]
    titles = [drawing.plain(task.title_of(name)) for name in names]
    figure.legend(lines, titles, loc="outside lower center", ncols=4, fontsize="small")
