"""Pictures of scores: box plots with the cases as points, and Bland-Altman plots of volumes."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from medseg.evaluation import drawing
from medseg.evaluation.clinical_numbers import Agreement, ClinicalNumbers, Measured
from medseg.evaluation.pair import Status
from medseg.evaluation.score import Scores

_MOST_PANELS: Final = 24
_PANELS_BESIDE: Final = 4
_HIDDEN: Final = (Status.MISSED, Status.FALSE_ALARM, Status.ABSENT)


def draw_boxes(scores: Scores, columns: Sequence[str], path: Path) -> None:
    """Draw a PNG with a row for each metric and a box for each region; cases are points.

    What is NaN or infinite has no point; how often a region is absent, missed or a false alarm
    stands below its box.

    Args:
        scores: Of all cases.
        columns: The metrics.
        path: The PNG.

    Raises:
        OutputError: The disk is full, or the place is not writable.
    """
    regions = scores.regions
    figure = drawing.canvas(2.5 + 0.9 * len(regions), 3.2 * len(columns))
    names = [_name(scores, region) for region in regions]
    panels = figure.subplots(len(columns), 1, squeeze=False)[:, 0]
    for panel, column in zip(panels, columns, strict=True):
        for place, region in enumerate(regions):
            values = [row.values[column] for row in scores.rows if row.region == region]
            drawing.box(panel, place, np.array(values, dtype=np.float64))
        drawing.name_places(panel, names)
        panel.set_ylabel(drawing.plain(column))
    panels[0].set_title(f"{len(scores.cases)} cases, {scores.convention} convention")
    drawing.write(figure, path)


def draw_bland_altman(numbers: ClinicalNumbers, path: Path) -> None:
    """Draw a PNG with a panel for each quantity: the error over the mean of both sides.

    The lines are the mean error and the limits of agreement. Red crosses are 0 on one side alone,
    as where a structure was missed. Of more than 24 quantities those with the largest error in
    percent are drawn.

    Raises:
        OutputError: The disk is full, or the place is not writable.
    """
    chosen = [each for each in numbers.agreements() if each.subjects]
    if len(chosen) > _MOST_PANELS:
        chosen.sort(key=lambda each: -np.nan_to_num(each.absolute_error_percent))
        del chosen[_MOST_PANELS:]
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
    drawing.write(figure, path)


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
