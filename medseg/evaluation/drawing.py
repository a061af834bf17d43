"""What the pictures of scores share: a canvas without a window, its file, boxes with points."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64

from medseg import files

_MOST_PIXELS = 8_000  # along a side, so that a hundred regions fit into memory
_MARGIN = 0.05  # of what an axis shows
_HALF_WIDTH = 0.22  # of the cloud of points, in units between two boxes


Limits = tuple[float, float]
"""Where an axis begins and ends."""


@dataclass(frozen=True)
class Mark:
    """A mark beside the points of a box.

    Attributes:
        shape: As matplotlib calls it.
        colour: As matplotlib calls it.
        meaning: What the legend says of it.
    """

    shape: str
    colour: str
    meaning: str


def canvas(wide_inches: float, high_inches: float) -> Any:
    """Return a figure of matplotlib's that belongs to no window."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(wide_inches, high_inches), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def write(figure: Any, path: Path) -> None:
    """Write a figure as PNG.

    Raises:
        OutputError: The disk is full, or the place is not writable.
    """
    buffer = io.BytesIO()
    dpi = min(120.0, _MOST_PIXELS / max(figure.get_size_inches()))
    figure.savefig(buffer, format="png", dpi=dpi)
    files.write_bytes(path, buffer.getvalue())


def box(panel: Any, place: int, values: Float64[np.ndarray, " cases"]) -> None:
    """Draw a box plot of the finite values at `place`, with the cases as points."""
    shown = values[np.isfinite(values)]
    if not len(shown):
        return
    spread = np.linspace(-_HALF_WIDTH, _HALF_WIDTH, len(shown) + 2)[1:-1]
    panel.boxplot(shown, positions=[place], widths=0.6, showfliers=False)
    panel.plot(place + spread, shown, ".", color="tab:blue", alpha=0.5)


def crosses(
    panel: Any, place: int, values: Float64[np.ndarray, " cases"], limits: Limits, mark: Mark
) -> None:
    """Mark cases that a box leaves out; those beyond `limits` stand at the edge, NaN nowhere."""
    shown = np.clip(values[~np.isnan(values)], *limits)
    if not len(shown):
        return
    spread = np.linspace(-_HALF_WIDTH, _HALF_WIDTH, len(shown) + 2)[1:-1]
    panel.plot(
        place + spread, shown, mark.shape, color=mark.colour, linestyle="None", clip_on=False
    )


def limits_of(values: Float64[np.ndarray, " cases"]) -> Limits:
    """Return the ends of an axis that shows the finite values and little more; else 0 to 1."""
    finite = values[np.isfinite(values)]
    if not len(finite):
        return 0.0, 1.0
    low, high = float(finite.min()), float(finite.max())
    margin = _MARGIN * (high - low or abs(high) or 1.0)
    return low - margin, high + margin


def explain(figure: Any, marks: Sequence[Mark]) -> None:
    """Say below a figure what its marks mean; nothing if there are none."""
    from matplotlib.lines import Line2D

    lines = [Line2D([], [], color=m.colour, marker=m.shape, linestyle="None") for m in marks]
    if lines:
        names = [mark.meaning for mark in marks]
        figure.legend(lines, names, loc="outside lower center", ncols=4, fontsize="small")


def name_places(panel: Any, names: list[str]) -> None:
    """Write a name below each place of a row of boxes."""
    panel.set_xticks(range(len(names)), [plain(name) for name in names], rotation=20, ha="right")
    panel.set_xlim(-0.6, len(names) - 0.4)


def plain(text: str) -> str:
    """Return `text` so that a dollar sign begins no formula."""
    return text.replace("$", r"\$")
