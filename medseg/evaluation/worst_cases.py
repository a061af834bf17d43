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
from medseg.shapes import LabelMap, Mask, Spacing, Voxels
from medseg.task import Task
from medseg.volume import Grid, Volume, order_to_ras, to_ras

MOST: Final = 6
"""How many cases are drawn."""

ENDS: Final = (("L", "R"), ("P", "A"), ("I", "S"))
"""Letters for where the axes of RAS+ begin and end."""

_BESIDE: Final = 3
_MARGIN: Final = 8  # voxels around what is labelled
_MOST_IN_LEGEND: Final = 12
_HOW_TO_READ: Final = (
    "reference: full lines; prediction: dashed; i, j, k: index of the slice in the file, from 0"
)
_FLAT: Final = 1.5  # times the other voxel sides, from which on slices are shown as they were taken


@dataclass(frozen=True)
class Ranked:
    """A case that may be drawn.

    Attributes:
        case: Its name.
        dice: The mean over the regions that it holds; a false alarm counts 0 in any convention.
        one_sided: The regions that one side alone holds, and how.
    """

    case: str
    dice: float
    one_sided: tuple[tuple[str, Status], ...] = ()


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
        if row.status is Status.FALSE_ALARM or not math.isnan(row.values["dice"]):
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
    else an axial one; if a region was missed or made up, that with the most of the largest such
    region. Slices are seen as radiologists do: the patient's right, or front, is on the left.

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
    figure.suptitle(_HOW_TO_READ, fontsize="small")
    if cases:
        _explain_colours(figure, cases[0].reference.task)
    drawing.write(figure, path)


def slice_of(
    reference: LabelMap, prediction: LabelMap, spacing_mm: Spacing, region: Mask | None = None
) -> tuple[int, int]:
    """Return the axis and the place of the slice to show; the axes are those of RAS+.

    Args:
        reference: What is there.
        prediction: What was found.
        spacing_mm: Distance between voxel centres.
        region: What the slice should hold most of; else most voxels that differ.
    """
    steps = np.array(spacing_mm)
    thickest = int(steps.argmax())
    axis = thickest if steps[thickest] > _FLAT * np.median(steps) else 2
    others = tuple(other for other in range(3) if other != axis)
    wanted = reference != prediction if region is None else region
    labelled = (reference > 0) | (prediction > 0)
    return axis, int((wanted if wanted.any() else labelled).sum(axis=others).argmax())


def in_file(grid: Grid, axis: int, place: int) -> str:
    """Say which slice of the file it is: its axis, and its index from 0."""
    source, is_reversed = order_to_ras(grid.affine)[axis]
    index = grid.shape[source] - 1 - place if is_reversed else place
    return f"{'ijk'[source]} = {index}"


def upright(voxels: Voxels, grid: Grid) -> tuple[np.ndarray, Spacing]:
    """Return the first channel with its axes nearest to RAS+, and its voxels' sides."""
    turned = to_ras(Volume(voxels, Grid(grid.shape, grid.affine)))
    return turned.voxels[0], turned.spacing_mm


def _ranked(case: str, rows: Sequence[Score]) -> Ranked:
    found = [0.0 if row.status is Status.FALSE_ALARM else row.values["dice"] for row in rows]
    one_sided = tuple(
        (row.region, row.status)
        for row in rows
        if row.status in (Status.MISSED, Status.FALSE_ALARM)
    )
    return Ranked(case, math.fsum(found) / len(found), one_sided)


def _title(case: Ranked, place: str) -> str:
    told = [f"{region} {str(status).replace('_', ' ')}" for region, status in case.one_sided]
    more = [f"and {len(told) - 2} more"] if len(told) > 3 else []
    named = [*told[: 2 if more else 3], *more]
    return "\n".join([case.case, f"Dice {case.dice:.3f}, {place}", *named])


def _fill(panel: Any, case: Shown) -> None:
    task, grid = case.reference.task, case.reference.grid
    reference, spacing_mm = upright(case.reference.label_map[None], grid)
    prediction, _ = upright(case.prediction.label_map[None], grid)
    apart = _largest_one_sided(case, reference, prediction)
    axis, place = slice_of(reference, prediction, spacing_mm, apart)
    known, found = (np.take(each, [place], axis) for each in (reference, prediction))
    first, second = (other for other in range(3) if other != axis)
    if case.image is not None:
        image, _ = upright(case.image.voxels[:1], grid)
        _show_scan(panel, np.take(image, place, axis).astype(np.float32))
    for region in task.region_names:
        colour = {**task.labels, **task.regions}[region].colour
        masks = [regions.mask_of(each, task, region).squeeze(axis) for each in (known, found)]
        if case.image is None:
            _outline(panel, masks[0], colour, filled=True)
        for mask, style in zip(masks, ("solid", "dashed"), strict=True):
            _outline(panel, mask, colour, style=style)
    _look_at(panel, ((known > 0) | (found > 0)).squeeze(axis))
    panel.invert_xaxis()  # what is patient's right or front comes to the left
    _name_sides(panel, first, second)
    panel.set_aspect(spacing_mm[second] / spacing_mm[first])
    title = _title(case.ranked, in_file(grid, axis, place))
    panel.set_title(drawing.plain(title), fontsize="small")


def _largest_one_sided(case: Shown, reference: LabelMap, prediction: LabelMap) -> Mask | None:
    """Return where the largest region lies that one side alone holds; None if there is none."""
    names = [region for region, _ in case.ranked.one_sided]
    either = [
        regions.mask_of(reference, case.reference.task, name)
        | regions.mask_of(prediction, case.reference.task, name)
        for name in names
    ]
    return max(either, key=np.count_nonzero, default=None)


def _name_sides(panel: Any, across: int, up: int) -> None:
    (right, left), (bottom, top) = ENDS[across], ENDS[up]
    for x, y, letter in (
        (0.03, 0.5, left),
        (0.97, 0.5, right),
        (0.5, 0.03, bottom),
        (0.5, 0.97, top),
    ):
        panel.text(
            *(x, y, letter),
            transform=panel.transAxes,
            color="tab:red",
            ha="center",
            va="center",
            fontsize="small",
        )


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
