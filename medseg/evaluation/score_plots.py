"""Pictures of scores: box plots with the cases as points, and Bland-Altman plots of volumes."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from medseg.evaluation import drawing
from medseg.evaluation.clinical_numbers import Agreement, ClinicalNumbers, Measured
from medseg.evaluation.drawing import Mark
from medseg.evaluation.pair import Status
from medseg.evaluation.score import Score, Scores

_MOST_PANELS: Final = 24
_MOST_BOXES: Final = 30
_PANELS_BESIDE: Final = 4
_HIDDEN: Final = (Status.MISSED, Status.FALSE_ALARM, Status.ABSENT)
_MARKS: Final = {
    Status.MISSED: Mark("x", "tab:red", "missed"),
    Status.FALSE_ALARM: Mark("+", "tab:orange", "false alarm"),
}


def draw_boxes(scores: Scores, columns: Sequence[str], path: Path) -> None:
    """Draw a PNG with a row for each metric and a box for each region; cases are points.

    Boxes and axes are of the cases in which both sides hold the region, so that the value of an
    empty mask squeezes none of them; what was missed or made up is a cross, at the edge if its
    value lies beyond. How often a region is absent, missed or a false alarm stands below its box.
    Of more than 30 regions those with the lowest mean of the first metric are drawn.

    Args:
        scores: Of all cases.
        columns: The metrics, the Dice first.
        path: The PNG.

    Raises:
        OutputError: The disk is full, or the place is not writable.
    """
    regions = _worst_regions(scores, columns)
    figure = drawing.canvas(2.5 + 0.9 * len(regions), 3.2 * len(columns))
    names = [_name(scores, region) for region in regions]
    rows = {region: [row for row in scores.rows if row.region == region] for region in regions}
    panels = figure.subplots(len(columns), 1, squeeze=False)[:, 0]
    for panel, column in zip(panels, columns, strict=True):
        _boxes(panel, column, list(rows.values()))
        drawing.name_places(panel, names)
        panel.set_ylabel(drawing.plain(column))
    drawn = {row.status for region in rows.values() for row in region}
    drawing.explain(figure, [mark for status, mark in _MARKS.items() if status in drawn])
    panels[0].set_title(_title(scores, regions, columns))
    drawing.write(figure, path)


def draw_bland_altman(numbers: ClinicalNumbers, path: Path) -> None:
    """Draw a PNG with a panel for each quantity: the error over the mean of both sides.

    The lines are the mean error and the limits of agreement. Red crosses are 0 on one side alone,
    as where a structure was missed. Of more than 24 quantities those with the largest error in
    percent are drawn, those that are false alarms alone first, and the figure says so.

    Raises:
        OutputError: The disk is full, or the place is not writable.
    """
    known = [each for each in numbers.agreements() if each.subjects]
    chosen = known
    if len(known) > _MOST_PANELS:
        chosen = sorted(known, key=_size_of_error, reverse=True)[:_MOST_PANELS]
    rows = -(-len(chosen) // _PANELS_BESIDE) or 1
    beside = min(_PANELS_BESIDE, max(len(chosen), 1))
    figure = drawing.canvas(3.6 * beside, 3.2 * rows)
    panels = figure.subplots(rows, beside, squeeze=False).ravel()
    for panel, agreement in zip(panels, chosen, strict=False):
        _bland_altman(
            panel, agreement, [r for r in numbers.rows if r.quantity == agreement.quantity]
        )
    for panel in panels[len(chosen) :]:
        panel.set_axis_off()
    if len(chosen) < len(known):
        figure.suptitle(
            f"{len(chosen)} of {len(known)} quantities: those with the largest error in %"
        )
    drawing.write(figure, path)


def _worst_regions(scores: Scores, columns: Sequence[str]) -> list[str]:
    """Return the regions to draw, in the order of the task."""
    if len(scores.regions) <= _MOST_BOXES:
        return scores.regions
    means = np.array([scores.region_mean(columns[0], region) for region in scores.regions])
    lowest = np.argsort(means, kind="stable")[:_MOST_BOXES]  # NaN comes last
    return [scores.regions[place] for place in sorted(lowest)]


def _title(scores: Scores, regions: Sequence[str], columns: Sequence[str]) -> str:
    title = f"{len(scores.cases)} cases, {scores.convention} convention"
    if len(regions) == len(scores.regions):
        return title
    cut = f"{len(regions)} of {len(scores.regions)} regions: the lowest means of {columns[0]}"
    return f"{title}\n{cut}"


def _boxes(panel: Any, column: str, regions: Sequence[Sequence[Score]]) -> None:
    def values(rows: Sequence[Score], status: Status) -> np.ndarray:
        found = [row.values[column] for row in rows if row.status is status]
        return np.array(found, dtype=np.float64)

    both = [values(rows, Status.BOTH) for rows in regions]
    one_sided = [values(rows, status) for rows in regions for status in _MARKS]
    limits = drawing.limits_of(np.concatenate(both))
    if not np.isfinite(np.concatenate(both)).any():
        limits = drawing.limits_of(np.concatenate(one_sided))
    for place, rows in enumerate(regions):
        drawing.box(panel, place, both[place])
        for status, mark in _MARKS.items():
            drawing.crosses(panel, place, values(rows, status), limits, mark)
    panel.set_ylim(*limits)


def _size_of_error(agreement: Agreement) -> float:
    """Return the error in percent; infinite if something was made up where nothing ever is."""
    if np.isnan(agreement.absolute_error_percent):
        return np.inf if agreement.absolute_error else 0.0
    return agreement.absolute_error_percent


def _name(scores: Scores, region: str) -> str:
    counts = [(scores.count(kind, region), str(kind).replace("_", " ")) for kind in _HIDDEN]
    return "\n".join([region, *(f"{count} {kind}" for count, kind in counts if count)])


def _bland_altman(panel: Any, agreement: Agreement, rows: Sequence[Measured]) -> None:
    known = np.array([(row.reference, row.prediction) for row in rows], dtype=np.float64)
    known = known[np.isfinite(known).all(axis=1)]
    one_sided = (known == 0).sum(axis=1) == 1
    for chosen, mark in ((~one_sided, ".b"), (one_sided, "xr")):
        points = known[chosen]
        panel.plot(points.mean(axis=1), points[:, 1] - points[:, 0], mark, alpha=0.6)
    panel.axhline(0, color="0.8", linewidth=1, zorder=0)
    for height, style in ((agreement.error, "-"), *((end, "--") for end in agreement.limits)):
        if np.isfinite(height):
            panel.axhline(height, color="0.4", linewidth=1, linestyle=style)
    panel.set_title(drawing.plain(agreement.quantity), fontsize="small")
    panel.set_xlabel(f"mean of both ({agreement.unit})", fontsize="small")
    panel.set_ylabel(f"prediction - reference ({agreement.unit})", fontsize="small")
