"""A table of the labels with names, colours and codes, as 3D Slicer reads since 2025."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from medseg import files
from medseg.export import PLAIN, Settings
from medseg.segmentation import Segmentation
from medseg.task import Label, Task

FORMAT: Final = "csv"
SUFFIX: Final = ".csv"
NEEDS_SERIES: Final = False

_COLOUR: Final = ("Color_R", "Color_G", "Color_B", "Color_A")
_CONCEPTS: Final = ("Category", "Type", "TypeModifier", "Region", "RegionModifier")
_PARTS: Final = ("CodingScheme", "CodeValue", "CodeMeaning")


def write(path: Path, segmentation: Segmentation, settings: Settings = PLAIN) -> None:
    """Write a row for every label.

    Raises:
        OutputError: It cannot be written, or what was read back differs.
    """
    content = io.StringIO()
    writer = csv.writer(content, lineterminator="\n")
    codes = [f"{concept}_{part}" for concept in _CONCEPTS for part in _PARTS]
    writer.writerow(["LabelValue", "Name", *_COLOUR, *codes])
    writer.writerows(_rows(segmentation.task))
    files.write_verified(path, content.getvalue().encode("utf-8"))


def _rows(task: Task) -> Iterator[list[str]]:
    for name, label in task.ordered_labels:
        yield [
            str(label.value),
            task.title_of(name),
            *map(str, label.rgb),
            "255",
            *_codes(label, task),
        ]


def _codes(label: Label, task: Task) -> list[str]:
    concepts = (label.category, label.code, label.modifier, task.region_code_of(label), None)
    return [part for code in concepts for part in (code or "^^").split("^")]
