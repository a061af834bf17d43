"""The picture of a comparison: paired differences as box plots, with the cases as points."""

import io
import itertools
from pathlib import Path
from typing import Any

import numpy as np

from medseg import files
from medseg.evaluation.compare import Comparison, values_of

_MOST_PIXELS = 8_000  # along a side, so that a hundred regions fit into memory
_HALF_WIDTH = 0.22  # of the cloud of points, in units between two boxes


def draw(comparison: Comparison, path: Path) -> None:
    """Draw a PNG with a row for each metric and a column for every two models.

    Raises:
        OutputError: The disk is full, or the place is not writable.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    paired = comparison.paired
    pairs = list(itertools.combinations(range(len(paired.models)), 2))
    rows = len(paired.higher_is_better)
    wide = 2.5 + 0.9 * (len(paired.regions) + 1)
    figure = Figure(figsize=(wide * len(pairs), 3.2 * rows), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(rows, len(pairs), squeeze=False)
    for row, metric in enumerate(paired.higher_is_better):
        for column, models in enumerate(pairs):
            _fill(panels[row, column], comparison, metric, models)
    buffer = io.BytesIO()
    dpi = min(120.0, _MOST_PIXELS / max(figure.get_size_inches()))
    figure.savefig(buffer, format="png", dpi=dpi)
    files.write_bytes(path, buffer.getvalue())


def _fill(panel: Any, comparison: Comparison, metric: str, models: tuple[int, int]) -> None:
    paired = comparison.paired
    first, second = (paired.models[model] for model in models)
    better = first if paired.higher_is_better[metric] else second
    findings = [finding for finding in comparison.findings if finding.metric == metric]
    panel.axhline(0, color="0.6", linewidth=1, zorder=0)
    for place, finding in enumerate(findings):
        values = values_of(paired, metric, finding.region)
        if len(values):
            differences = values[:, models[0]] - values[:, models[1]]
            spread = np.linspace(-_HALF_WIDTH, _HALF_WIDTH, len(differences) + 2)[1:-1]
            panel.boxplot(differences, positions=[place], widths=0.6, showfliers=False)
            panel.plot(place + spread, differences, ".", color="tab:blue", alpha=0.5)
    names = [_plain(finding.region or "all regions") for finding in findings]
    panel.set_xticks(range(len(findings)), names, rotation=20, ha="right")
    panel.set_xlim(-0.6, len(findings) - 0.4)
    panel.set_ylabel(f"difference of {_plain(metric)}")
    panel.set_title(
        _plain(f"{first} minus {second}\nabove 0: {better} is better"), fontsize="small"
    )


def _plain(text: str) -> str:
    """Return `text` so that a dollar sign begins no formula."""
    return text.replace("$", r"\$")
