"""Names and colours of the labels for ITK-SNAP (`.label`), to show a plain NIfTI with them.

Each line holds value, red, green, blue from 0 to 255, opacity, whether it is shown in slices and
in 3D, and the name in quotes.
"""

from pathlib import Path
from typing import Final

from medseg import files
from medseg.export import PLAIN, Settings
from medseg.segmentation import Segmentation

FORMAT: Final = "label"
SUFFIX: Final = ".label"
NEEDS_SERIES: Final = False


def write(path: Path, segmentation: Segmentation, settings: Settings = PLAIN) -> None:
    """Write every label, and the clear label that ITK-SNAP expects.

    Raises:
        OutputError: It cannot be written, or what was read back differs.
    """
    task = segmentation.task
    lines = ['0 0 0 0 0 0 0 "Clear Label"']
    for name, label in task.ordered_labels:
        title = task.title_of(name).replace('"', "'")
        lines.append(f'{label.value} {" ".join(map(str, label.rgb))} 1 1 1 "{title}"')
    files.write_verified(path, ("\n".join(lines) + "\n").encode("utf-8"))
