"""A colour table for 3D Slicer (`.ctbl`), to show a plain NIfTI with names and colours.

Each line holds value, name, red, green, blue and opacity from 0 to 255; a name has no blanks.
"""

from pathlib import Path
from typing import Final

from medseg import files
from medseg.export import PLAIN, Settings
from medseg.segmentation import Segmentation

FORMAT: Final = "ctbl"
SUFFIX: Final = ".ctbl"
NEEDS_SERIES: Final = False


def write(path: Path, segmentation: Segmentation, settings: Settings = PLAIN) -> None:
    """Write value, title and colour of every label, and of the background.

    Raises:
        OutputError: It cannot be written, or what was read back differs.
    """
    task = segmentation.task
    lines = [f"# Color table file {path.name}", f"# {1 + len(task.labels)} values"]
    lines.append("0 Background 0 0 0 0")
    for name, label in task.ordered_labels:
        title = "_".join(task.title_of(name).split())
        lines.append(f"{label.value} {title} {' '.join(map(str, label.rgb))} 255")
    files.write_verified(path, ("\n".join(lines) + "\n").encode("utf-8"))
