"""The picture of a comparison: paired differences as box plots, with the cases as points."""

import itertools
from pathlib import Path
from typing import Any

from medseg.evaluation import drawing
from medseg.evaluation.compare import Comparison, values_of


def draw(comparison: Comparison, path: Path) -> None:
    """Draw a PNG with a row for each metric and a column for every two models.

    Raises:
        OutputError: The disk is full, or the place is not writable.
    """
    paired = comparison.paired
    pairs = list(itertools.combinations(range(len(paired.models)), 2))
    rows = len(paired.higher_is_better)
    wide = 2.5 + 0.9 * (len(paired.regions) + 1)
    figure = drawing.canvas(wide * len(pairs), 3.2 * rows)
    panels = figure.subplots(rows, len(pairs), squeeze=False)
    for row, metric in enumerate(paired.higher_is_better):
        for column, models in enumerate(pairs):
            _fill(panels[row, column], comparison, metric, models)
    drawing.write(figure, path)


def _fill(panel: Any, comparison: Comparison, metric: str, models: tuple[int, int]) -> None:
    paired = comparison.paired
    first, second = (paired.models[model] for model in models)
    better = first if paired.higher_is_better[metric] else second
    findings = [finding for finding in comparison.findings if finding.metric == metric]
    panel.axhline(0, color="0.6", linewidth=1, zorder=0)
    for place, finding in enumerate(findings):
        values = values_of(paired, metric, finding.region)
        drawing.box(panel, place, values[:, models[0]] - values[:, models[1]])
    drawing.name_places(panel, [finding.region or "all regions" for finding in findings])
    panel.set_ylabel(f"difference of {drawing.plain(metric)}")
    panel.set_title(
        drawing.plain(f"{first} minus {second}\nabove 0: {better} is better"), fontsize="small"
    )
