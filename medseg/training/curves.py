"""A picture of how training went."""

import io
from pathlib import Path

from medseg import files


def draw(rows: list[dict[str, float]], path: Path) -> None:
    """Draw loss and validation Dice over time as a PNG; without rows nothing is drawn.

    Raises:
        OutputError: The disk is full, or the place is not writable.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    if not rows:
        return
    figure = Figure(figsize=(7, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    minutes = [row["seconds"] / 60 for row in rows]
    left = figure.add_subplot()
    left.plot(minutes, [row["loss"] for row in rows], color="0.6", label="loss")
    left.set_xlabel("minutes")
    left.set_ylabel("loss")
    right = left.twinx()
    for name in (key for key in rows[0] if key.startswith("dice_")):
        wide = 2.0 if name == "dice_mean" else 1.0
        right.plot(minutes, [row[name] for row in rows], linewidth=wide, label=name[5:])
    right.set_ylabel("validation Dice")
    right.set_ylim(0, 1)
    lines = left.get_lines() + right.get_lines()
    right.legend(lines, [str(line.get_label()) for line in lines], loc="lower right")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120)
    files.write_bytes(path, buffer.getvalue())
