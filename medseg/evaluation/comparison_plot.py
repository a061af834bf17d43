"""The picture of a comparison: paired differences as box plots, with the cases as points."""

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from medseg.evaluation import drawing
from medseg.evaluation.compare import Comparison, Finding, values_of
from medseg.evaluation.drawing import Mark

_MOST_PAIRS: Final = 6
_MOST_REGIONS: Final = 12

_ONE_SIDED: Final = Mark("x", "tab:red", "missed or made up by one of the two models or both")


def draw(comparison: Comparison, path: Path) -> None:
    """Draw a PNG with a row for each metric and a column for every two models.

    Boxes and axes are of the cases in which both models and the reference hold the region, so that
    the value of an empty mask squeezes none; the others are crosses, at the edge if their value
    lies beyond. Of more than six pairs the first are drawn; of more than twelve regions those whose
    means differ most, and the figure says so.

    Raises:
        OutputError: The disk is full, or the place is not writable.
    """
    paired = comparison.paired
    pairs = list(itertools.combinations(range(len(paired.models)), 2))
    shown = pairs[:_MOST_PAIRS]
    rows = len(paired.higher_is_better)
    most = min(len(paired.regions), _MOST_REGIONS)
    wide = 2.5 + 0.9 * (most + 1)
    figure = drawing.canvas(wide * len(shown), 3.2 * rows)
    panels = figure.subplots(rows, len(shown), squeeze=False)
    for row, metric in enumerate(paired.higher_is_better):
        findings = _largest([f for f in comparison.findings if f.metric == metric])
        for column, models in enumerate(shown):
            _fill(panels[row, column], comparison, findings, models)
    drawing.explain(
        figure, [_ONE_SIDED] if paired.one_sided is not None and paired.one_sided.any() else []
    )
    cut = [
        *([f"{len(shown)} of {len(pairs)} pairs of models"] if len(shown) < len(pairs) else []),
        *([f"{most} of {len(paired.regions)} regions"] if most < len(paired.regions) else []),
    ]
    if cut:
        figure.suptitle(f"{', '.join(cut)}; comparison.md has all")
    drawing.write(figure, path)


def _largest(findings: Sequence[Finding]) -> list[Finding]:
    """Return the findings of the regions whose means differ most, in their order, and over all."""
    means = [[each.mean for each in finding.differences] for finding in findings]
    sizes = [max(map(abs, found), default=-1.0) for found in means]
    regions = [place for place, finding in enumerate(findings) if finding.region is not None]
    chosen = sorted(regions, key=lambda place: -sizes[place])[:_MOST_REGIONS]
    return [
        finding
        for place, finding in enumerate(findings)
        if finding.region is None or place in chosen
    ]


def _fill(
    panel: Any, comparison: Comparison, findings: Sequence[Finding], models: tuple[int, int]
) -> None:
    paired, metric = comparison.paired, findings[0].metric
    first, second = (paired.models[model] for model in models)
    better = first if paired.higher_is_better[metric] else second
    panel.axhline(0, color="0.6", linewidth=1, zorder=0)
    found = [_differences(comparison, finding, models) for finding in findings]
    boxes = [values[~apart] for values, apart in found]
    limits = drawing.limits_of(np.concatenate([*boxes, np.zeros(1)]))
    for place, (values, apart) in enumerate(found):
        drawing.box(panel, place, boxes[place])
        drawing.crosses(panel, place, values[apart], limits, _ONE_SIDED)
    panel.set_ylim(*limits)
    drawing.name_places(panel, [finding.region or "all regions" for finding in findings])
    panel.set_ylabel(f"difference of {drawing.plain(metric)}")
    panel.set_title(
        drawing.plain(f"{first} minus {second}\nabove 0: {better} is better"), fontsize="small"
    )


def _differences(
    comparison: Comparison, finding: Finding, models: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the cases' differences, and in which of them a model holds the region alone.

    Over all regions that is none: the value of an empty mask is one of many.
    """
    paired = comparison.paired
    values = values_of(paired, finding.metric, finding.region)
    differences = values[:, models[0]] - values[:, models[1]]
    if finding.region is None or paired.one_sided is None:
        return differences, np.zeros(len(differences), dtype=bool)
    place = paired.regions.index(finding.region)
    held = ~np.isnan(paired.values[finding.metric][:, place, 0])
    return differences, paired.one_sided[held, place][:, list(models)].any(axis=1)
