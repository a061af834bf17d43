"""How data sets lie on disk: one module per arrangement of files.

A module offers `RANK` and `recognise(root)`, which returns the data set below a folder, or None if
its files lie otherwise. What is particular is asked before what is general: 0 for one data set, 1
for the forms of other programs, 2 for plain folders and lists. A module may offer
`confirm(data_set, voxels)`, which says what the label values of the whole set prove.
"""

import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import medseg.data.layouts as this_package
from medseg import registry
from medseg import task as tasks
from medseg.data.cases import Case
from medseg.data.data_set import DataSet
from medseg.data.drafts import draft
from medseg.data.matching import Matched, match
from medseg.errors import DataError, UsageError
from medseg.task import Task


@runtime_checkable
class Layout(Protocol):
    """What a module of this package offers.

    Attributes:
        RANK: When it is asked: 0 first, 2 last.
    """

    RANK: int

    def recognise(self, root: Path) -> DataSet | None:
        """Return the data set below `root`; None if its files do not lie so.

        Raises:
            DataError: They do, but are incomplete or contradict each other.
        """


@runtime_checkable
class Confirming(Protocol):
    """What a module offers whose recognition the label values can prove or refute."""

    def confirm(self, data_set: DataSet, voxels: Mapping[int, int]) -> str | None:
        """Return what the values show, for people.

        Args:
            data_set: As it was recognised.
            voxels: How many voxels of all label maps have each value that occurs.

        Raises:
            DataError: They contradict what the names of the files say.
        """


def names() -> list[str]:
    """Return the names of the layouts, those that are asked first before the others."""
    known = registry.names(this_package)
    return sorted(known, key=lambda name: registry.load(this_package, name).RANK)


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


def recognise(root: Path, task: Task | None = None) -> DataSet | None:
    """Return the data set below `root`, cases sorted by name; None if no layout knows it.

    Args:
        root: A folder, or a CSV list.
        task: Its layout is asked first.

    Raises:
        DataError: There is no such folder, or its files are incomplete or contradict each other.
        UsageError: The task names a layout that does not exist.
    """
    known = names()
    if task is not None and task.layout not in known:
        raise UsageError(
            f"task {task.name} names the layout {task.layout!r}, which does not exist",
            remedy=f"Choose one of {', '.join(known)}",
        )
    if not root.exists():
        raise DataError("there is no such folder", where=root, remedy="Check the path of --data")
    first = [task.layout] if task is not None else []
    for name in dict.fromkeys([*first, *known]):
        found: DataSet | None = _layout(name).recognise(root)
        if found is not None:
            _require_distinct(found)
            return replace(found, cases=tuple(sorted(found.cases, key=lambda case: case.name)))
    return None


def find(root: Path, task: Task | None = None, numbering: str | None = None) -> Matched:
    """Return the data set below `root` and its task; without a task the one that fits.

    Args:
        root: A folder, or a CSV list.
        task: What is to be segmented; else the shipped task that fits, or what the data say.
        numbering: Which of the data set's numberings holds.

    Raises:
        DataError: No layout knows the folder, or its data do not fit the task.
        UsageError: There is no such layout or numbering.
    """
    found = recognise(root, task)
    if found is None:
        wanted = f"in {task.layout} layout" if task is not None else "that medseg knows"
        raise DataError(
            f"holds no data {wanted}, nor in another that medseg knows: {', '.join(names())}",
            where=root,
            remedy="Give the folder as it was downloaded, or a CSV list of images and labels",
        )
    if task is None:
        task = tasks.read(found.task) if found.task is not None else draft(found)
    return match(found, task, numbering)


def cases(root: Path, task: Task) -> list[Case]:
    """List the labelled cases of `task` below `root`, sorted by name.

    Raises:
        DataError: The folder is missing or holds no labelled case, lacks something its layout
            needs, or two cases in it have one name.
        UsageError: The task names a layout that does not exist.
    """
    return list(require_labelled(find(root, task).data_set))


def require_labelled(data_set: DataSet) -> tuple[Case, ...]:
    """Return the cases with a label map.

    Raises:
        DataError: There are none.
    """
    if not data_set.labelled:
        raise DataError(
            "holds no labelled cases",
            where=data_set.root,
            remedy=f"Give data in {data_set.layout} layout with their label maps",
        )
    return data_set.labelled


def is_flat(data_set: DataSet) -> bool:
    """Tell whether the images of a data set lie in its folder itself, as loose files do."""
    return data_set.layout == "folder" and data_set.cases[0].images[0].parent == data_set.root


def confirm(data_set: DataSet, voxels: Mapping[int, int]) -> str | None:
    """Return what the label values of the whole set prove of it, for people.

    Raises:
        DataError: They contradict what the names of the files say.
    """
    layout = _layout(data_set.layout)
    return layout.confirm(data_set, voxels) if isinstance(layout, Confirming) else None


def _layout(name: str) -> Any:
    return registry.load(this_package, name)


def _require_distinct(data_set: DataSet) -> None:
    counted = Counter(case.name for case in data_set.cases)
    repeated = [name for name, count in counted.items() if count > 1]
    if repeated:
        raise DataError(
            f"holds several cases called {repeated[0]}",
            where=data_set.root,
            remedy="Give each row a name of its own in a column called case"
            if data_set.layout == "table"
            else "Rename or remove one",
        )
