"""A picture of all cases: a slice of each with the contours of its labels, named as suspect."""

from pathlib import Path
from typing import Any, Final

import numpy as np

from medseg.evaluation import drawing
from medseg.survey.findings import Severity
from medseg.survey.measure import Measured
from medseg.survey.survey import Survey
from medseg.task import Task

MOST: Final = 60
"""How many cases are drawn, those with findings first."""

_BESIDE: Final = 6


def draw(survey: Survey, path: Path) -> None:
    """Draw a PNG with a panel for each case; the names of cases with findings are red.

    Raises:
        OutputError: The disk is full, or the place is not writable.
    """
    wrong = {
        name
        for finding in survey.findings
        if finding.severity is not Severity.NOTE
        for name in finding.case.split(", ")
    }
    drawable = [case for case in survey.cases if case.thumbnail is not None]
    shown = sorted(drawable, key=lambda case: case.case not in wrong)[:MOST]
    beside = min(_BESIDE, max(len(shown), 1))
    rows = -(-len(shown) // beside) or 1
    figure = drawing.canvas(2.0 * beside, 2.2 * rows + 0.5)
    panels = figure.subplots(rows, beside, squeeze=False).ravel()
    for panel in panels:
        panel.set_axis_off()
    for panel, case in zip(panels, shown, strict=False):
        _fill(panel, case, survey.task)
        colour = "tab:red" if case.case in wrong else "black"
        panel.set_title(drawing.plain(case.case), fontsize="x-small", color=colour)
    _explain_colours(figure, survey.task)
    drawing.write(figure, path)


def _fill(panel: Any, case: Measured, task: Task) -> None:
    picture = case.thumbnail
    if picture is None:
        return
    panel.imshow(picture.image.T, cmap="gray", origin="lower", vmin=0, vmax=255)
    for label in task.labels.values():
        mask = picture.labels == min(label.value, 255)
        if mask.any():
            places = [np.arange(-1, size + 1) for size in mask.shape]
            padded = np.pad(mask, 1).astype(float).T  # contours close at the image's border
            panel.contour(*places, padded, levels=[0.5], colors=[label.colour], linewidths=1.0)
    panel.set_aspect(picture.aspect)


def _explain_colours(figure: Any, task: Task) -> None:
    from matplotlib.lines import Line2D

    lines = [Line2D([], [], color=label.colour) for label in task.labels.values()]
    titles = [drawing.plain(task.title_of(name)) for name in task.labels]
    figure.legend(lines, titles, loc="outside lower center", ncols=6, fontsize="x-small")
