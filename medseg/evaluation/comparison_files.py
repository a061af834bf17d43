"""A comparison as tables to read, and as `comparison.json`, `.md` and `.png`."""

import json
import math
from pathlib import Path
from typing import Any, Final

from medseg import files
from medseg.evaluation import comparison_plot
from medseg.evaluation.compare import Comparison, Difference, Extreme, Finding
from medseg.evaluation.text_table import TextTable, escaped, number, signed

ALL_REGIONS: Final = "all regions"


def tables(comparison: Comparison) -> list[TextTable]:
    """Return the means, the differences, and the cases that differ most."""
    return [_means(comparison), _differences(comparison), _extremes(comparison)]


def notes(comparison: Comparison) -> list[str]:
    """Say how the numbers came about, in sentences."""
    paired = comparison.paired
    said = [
        f"Intervals hold 95 % of {comparison.draws} bootstrap means over cases (seed"
        f" {comparison.seed}).",
        "p: Wilcoxon signed-rank test, two-sided; corrected: by Holm's method for"
        f" {comparison.tests} tests.",
        "P(first better): share of the cases in which the first model is better, ties half.",
        "Better: the corrected p is below 0.05 and the interval excludes 0.",
    ]
    if len(paired.regions) > 1:
        said.append(f"In {ALL_REGIONS} a case counts with the mean over the regions it holds.")
    if paired.filled:
        said.append(
            "Where one model raises a false alarm and another rightly finds nothing, the latter"
            " gets the best value (medseg evaluate leaves it out). Regions of cases with this:"
            f" {paired.filled}."
        )
    if paired.not_compared:
        said.append(f"Not compared: {', '.join(paired.not_compared)}.")
    return said


def markdown(comparison: Comparison) -> str:
    """Return the tables and notes as Markdown."""
    heading = f"# Comparison of {', '.join(map(escaped, comparison.paired.models))}"
    parts = [heading, f"{len(comparison.paired.cases)} cases."]
    for table in tables(comparison):
        parts += [f"## {table.title}", table.markdown()]
    parts.append("\n".join(f"- {escaped(note)}" for note in notes(comparison)))
    return "\n\n".join(parts) + "\n"


def document(comparison: Comparison) -> dict[str, Any]:
    """Return everything that was found, ready for JSON; null stands for NaN."""
    paired = comparison.paired
    return {
        "models": list(paired.models),
        "cases": len(paired.cases),
        "bootstrap": {"draws": comparison.draws, "seed": comparison.seed, "confidence": 0.95},
        "tests": comparison.tests,
        "false_alarm_of_one": paired.filled,
        "not_compared": list(paired.not_compared),
        "findings": [_finding(finding) for finding in comparison.findings],
        "differ_most": [_extreme(extreme) for extreme in comparison.extremes],
    }


def write(comparison: Comparison, folder: Path) -> None:
    """Write `comparison.json`, `comparison.md` and `comparison.png` to `folder`.

    Raises:
        OutputError: They cannot be written.
    """
    text = json.dumps(document(comparison), indent=2, allow_nan=False, ensure_ascii=False)
    files.write_text(folder / "comparison.json", text + "\n")
    files.write_text(folder / "comparison.md", markdown(comparison))
    comparison_plot.draw(comparison, folder / "comparison.png")


def _means(comparison: Comparison) -> TextTable:
    return TextTable(
        title="Means, and how often a model is first when cases are drawn anew",
        headings=("metric", "better", "region", "cases", *comparison.paired.models),
        rows=tuple(
            (
                finding.metric,
                "higher" if finding.higher_is_better else "lower",
                finding.region or ALL_REGIONS,
                str(finding.cases),
                *(
                    f"{number(finding.means[model])} ({_percent(finding.first[model])})"
                    for model in comparison.paired.models
                ),
            )
            for finding in comparison.findings
        ),
        words=3,
    )


def _differences(comparison: Comparison) -> TextTable:
    return TextTable(
        title="Differences, first minus second",
        headings=(
            *("metric", "region", "first", "second", "better"),
            *("difference", "95 % interval", "p", "p corrected", "P(first better)"),
        ),
        rows=tuple(
            (
                finding.metric,
                finding.region or ALL_REGIONS,
                difference.first,
                difference.second,
                difference.better or "-",
                signed(difference.mean),
                f"{signed(difference.interval[0])} to {signed(difference.interval[1])}",
                _probability(difference.p_value),
                _probability(difference.p_corrected),
                f"{difference.superiority:.2f}",
            )
            for finding in comparison.findings
            for difference in finding.differences
        ),
        words=5,
    )


def _extremes(comparison: Comparison) -> TextTable:
    return TextTable(
        title="Cases that differ most",
        headings=(
            *("metric", "case", "region", "first", "second"),
            *("value of first", "value of second", "difference"),
        ),
        rows=tuple(
            (
                extreme.metric,
                extreme.case,
                extreme.region,
                extreme.first,
                extreme.second,
                *map(number, extreme.values),
                signed(extreme.values[0] - extreme.values[1]),
            )
            for extreme in comparison.extremes
        ),
        words=5,
    )


def _percent(share: float) -> str:
    return "-" if math.isnan(share) else f"{100 * share:.0f} %"


def _probability(value: float) -> str:
    return f"{value:.4f}" if value >= 0.0001 else f"{value:.1e}"


def _finding(finding: Finding) -> dict[str, Any]:
    return {
        "metric": finding.metric,
        "higher_is_better": finding.higher_is_better,
        "region": finding.region,
        "cases": finding.cases,
        "mean": {model: _or_none(value) for model, value in finding.means.items()},
        "ranks_first": {model: _or_none(share) for model, share in finding.first.items()},
        "differences": [_difference(difference) for difference in finding.differences],
    }


def _difference(difference: Difference) -> dict[str, Any]:
    return {
        "first": difference.first,
        "second": difference.second,
        "mean": difference.mean,
        "interval": [_or_none(end) for end in difference.interval],
        "p_value": difference.p_value,
        "p_corrected": difference.p_corrected,
        "probability_of_superiority": difference.superiority,
        "better": difference.better,
    }


def _extreme(extreme: Extreme) -> dict[str, Any]:
    return {
        "metric": extreme.metric,
        "case": extreme.case,
        "region": extreme.region,
        "values": {extreme.first: extreme.values[0], extreme.second: extreme.values[1]},
    }


def _or_none(value: float) -> float | None:
    return None if math.isnan(value) else value
