"""How data sets lie on disk: one module per arrangement of files.

A module offers `cases(root, task)`, which lists the labelled cases of a folder.
"""

import os
from collections import Counter
from pathlib import Path
from typing import Protocol, runtime_checkable

import medseg.data.layouts as this_package
from medseg import registry
from medseg.data.cases import Case
from medseg.errors import DataError, UsageError
from medseg.task import Task


@runtime_checkable
class Layout(Protocol):
    """What a module of this package offers."""

    def cases(self, root: Path, task: Task) -> list[Case]:
        """List the labelled cases below `root`."""


def find_data(task: Task) -> Path:
    """Return the folder of `task`'s data: `$MEDSEG_DATA/NAME` or `./data/NAME`.

    Raises:
        DataError: There is none; the message says where the data come from and where they go.
    """
    parents = [Path(os.environ["MEDSEG_DATA"])] if "MEDSEG_DATA" in os.environ else []
    places = [parent / task.name for parent in (*parents, Path("data"))]
    for place in places:
        if place.is_dir():
            return place
    origin = (
        f"Download {task.source.folder} from {task.source.url}, unpack it"
        if task.source
        else f"Make them with 'medseg phantom {places[-1]}'"
        if task.name == "phantom"
        else "Have your data ready"
    )
    raise DataError(
        f"no data for task {task.name} in {' or '.join(str(place) for place in places)}",
        remedy=f"{origin}, and name the folder with --data DIR or put it there",
    )


def cases(root: Path, task: Task) -> list[Case]:
    """List the labelled cases of `task` below `root`, sorted by name.

    Raises:
        DataError: The folder is missing or empty, lacks something its layout needs, or two cases
            in it have one name.
        UsageError: The task names a layout that does not exist.
    """
    known = registry.names(this_package)
    if task.layout not in known:
        raise UsageError(
            f"task {task.name} names the layout {task.layout!r}, which does not exist",
            remedy=f"Choose one of {', '.join(known)}",
        )
    if not root.is_dir():
        raise DataError("there is no such folder", where=root, remedy="Check the path of --data")
    layout = registry.load(this_package, task.layout)
    found: list[Case] = sorted(layout.cases(root, task), key=lambda case: case.name)
    if not found:
        raise DataError(
            "holds no labelled cases", where=root, remedy=f"Give data in {task.layout} layout"
        )
    repeated = [name for name, count in Counter(case.name for case in found).items() if count > 1]
    if repeated:
        raise DataError(
            f"holds several cases called {repeated[0]}", where=root, remedy="Rename or remove one"
        )
    return found
