"""Writes the codes of medseg's tasks as a terminology of 3D Slicer: run it when a task changes.

The tasks' YAML files are the only source; the tests compare the file with what is written here.
"""

import json
from pathlib import Path
from typing import Any

from medseg import task as tasks
from medseg.task import Appearance, Task

FILE = Path(__file__).parent.joinpath(
    "MedSeg/MedSeg/Resources/SegmentationCategoryTypeModifier-medseg.term.json"
)
CONTEXT = "medseg"
SCHEMA = (
    "https://raw.githubusercontent.com/qiicr/dcmqi/master/doc/schemas/segment-context-schema.json#"
)

Entries = dict[str, dict[str, Any]]
"""Codes by scheme, value and meaning; each with what lies below it."""


def document() -> dict[str, Any]:
    """Return the terminology: each category with its structures, each structure with its parts.

    A structure that several tasks have gets the colour of the first of them.
    """
    categories: Entries = {}
    for name in tasks.names():
        for structure in _structures(tasks.read(name)):
            _add(categories, structure)
    found = [_listed(entry, ("Type", "Modifier")) for entry in categories.values()]
    return {
        "SegmentationCategoryTypeContextName": CONTEXT,
        "@schema": SCHEMA,
        "SegmentationCodes": {"Category": found},
    }


def text() -> str:
    """Return the file's content."""
    return json.dumps(document(), indent=1) + "\n"


def _structures(task: Task) -> list[Appearance]:
    return [*task.labels.values(), *task.regions.values()]


def _add(categories: Entries, structure: Appearance) -> None:
    category = _entry(categories, structure.category, showAnatomy=True)
    colour = [int(structure.colour[start : start + 2], 16) for start in (1, 3, 5)]
    kind = _entry(category["below"], structure.code, recommendedDisplayRGBValue=colour)
    if structure.modifier is not None:
        _entry(kind["below"], structure.modifier, recommendedDisplayRGBValue=colour)


def _entry(entries: Entries, code: str, **fields: object) -> dict[str, Any]:
    scheme, value, meaning = code.split("^")
    made = {
        "CodingSchemeDesignator": scheme,
        "CodeValue": value,
        "CodeMeaning": meaning,
        **fields,
        "below": {},
    }
    return entries.setdefault(f"{scheme}^{value}", made)


def _listed(entry: dict[str, Any], levels: tuple[str, ...]) -> dict[str, Any]:
    below = entry.pop("below")
    if below:
        entry[levels[0]] = [_listed(each, levels[1:]) for each in below.values()]
    return entry


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
