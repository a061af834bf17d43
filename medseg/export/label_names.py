"""What the values of a label map mean, in JSON: names, titles, colours, codes, regions."""

import json
from pathlib import Path
from typing import Any, Final

from medseg import files
from medseg.export import PLAIN, Settings
from medseg.segmentation import Segmentation
from medseg.task import Appearance, Task

FORMAT: Final = "labels.json"
SUFFIX: Final = ".labels.json"
NEEDS_SERIES: Final = False


def write(path: Path, segmentation: Segmentation, settings: Settings = PLAIN) -> None:
    """Write the labels and regions of the task.

    Raises:
        OutputError: It cannot be written, or what was read back differs.
    """
    task = segmentation.task
    document = {
        "task": task.name,
        "labels": {name: _told(name, label, task) for name, label in task.labels.items()},
        "regions": {name: _told(name, region, task) for name, region in task.regions.items()},
    }
    text = json.dumps(document, indent=1, ensure_ascii=False) + "\n"
    files.write_verified(path, text.encode("utf-8"))


def _told(name: str, structure: Appearance, task: Task) -> dict[str, Any]:
    told = structure.model_dump(mode="json", exclude_none=True)
    told["title"] = structure.title or task.title_of(name)
    region = task.region_code_of(structure)
    return told if region is None else told | {"anatomic_region": region}
