"""What the pictures of scores share: a canvas without a window, its file, boxes with points."""

import io
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64

from medseg import files

_MOST_PIXELS = 8_000  # along a side, so that a hundred regions fit into memory
_HALF_WIDTH = 0.22  # of the cloud of points, in units between two boxes


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


def name_places(panel: Any, names: list[str]) -> None:
    """Write a name below each place of a row of boxes."""
    panel.set_xticks(range(len(names)), [plain(name) for name in names], rotation=20, ha="right")
    panel.set_xlim(-0.6, len(names) - 0.4)


def plain(text: str) -> str:
    """Return `text` so that a dollar sign begins no formula."""
    return text.replace("$", r"\$")
