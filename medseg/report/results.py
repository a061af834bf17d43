"""What is reported on: the results in a folder of `medseg predict`, or one label map.

Paths stay here. What goes into a page are names of files, for a path may tell who a patient is.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from medseg import formats
from medseg import task as tasks
from medseg.errors import DataError, ImageError, UsageError, listed
from medseg.evaluation.evaluate import case_of
from medseg.formats import Choice
from medseg.inference.report import NAME, Document, Entry, described, read
from medseg.model import Model
from medseg.task import Task

_PREFERRED: Final = (".nii.gz", ".nii")


@dataclass(frozen=True)
class Origin:
    """Where results come from.

    Attributes:
        task: What was segmented; None if a report of an older version does not say.
        network: Its name.
        model: Hash of the model.
        version: Of the medseg that segmented.
        plan: How images were prepared and the network applied, as YAML.
    """

    network: str | None = None
    model: str | None = None
    version: str | None = None
    plan: str | None = None


@dataclass(frozen=True)
class Result:
    """One segmentation and its scan.

    Attributes:
        case: Its name.
        label_map: Its file.
        images: The files of its scan.
        task: In the values of the label map.
        choice: Which image of the files is meant.
        channel_order: Places of the task's channels among those of the files; None if the same.
        entry: What was recorded when it was made.
    """

    case: str
    label_map: Path
    images: tuple[Path, ...]
    task: Task
    choice: Choice = formats.ANY
    channel_order: tuple[int, ...] | None = None
    entry: Entry | None = None


@dataclass(frozen=True)
class Results:
    """The results of one model.

    Attributes:
        task: What was segmented.
        origin: Where they come from.
        found: The cases that were segmented, by name.
        failed: Name and reason of those that could not be.
    """

    task: Task
    origin: Origin
    found: tuple[Result, ...]
    failed: tuple[tuple[str, str], ...] = ()


def of_folder(folder: Path, *, task: Task | None = None, scans: Sequence[Path] = ()) -> Results:
    """Return the results in a folder that `medseg predict -o` wrote.

    Of several files of one case, the NIfTI file counts, else one that medseg can read.

    Args:
        folder: Holds the label maps and `report.json`.
        task: What the labels mean; what the report says if absent.
        scans: Folders to look for scans in that are no longer where they were.

    Raises:
        UsageError: There is no report, it does not say what the labels mean, or a result is in no
            format that medseg reads.
        DataError: No case was segmented, or a file is not there any more.
    """
    path = folder / NAME
    if not path.is_file():
        raise UsageError(
            f"has no {NAME}",
            where=folder,
            remedy="Give a folder that 'medseg predict -o FOLDER' wrote, or one label map",
        )
    document = read(path)
    task = task or _task_of(document, path)
    done = [entry for entry in document.entries if entry.status == "done"]
    if not done:
        raise DataError("holds no segmentation", where=path, remedy="Mend what failed, and predict")
    chosen = _one_for_each(done)
    _require_readable(chosen, folder)
    found = _told_apart([_result(entry, folder, task, scans) for entry in chosen])
    failed = [entry for entry in document.entries if entry.status == "failed"]
    return Results(
        task,
        _origin(document),
        tuple(sorted(found, key=lambda result: result.case)),
        tuple((entry.case, without_paths(entry)) for entry in failed),
    )


def of_file(
    label_map: Path,
    *,
    task: Task | None = None,
    scans: Sequence[Path] = (),
    bundle: Model | None = None,
) -> Results:
    """Return one label map as a result, with what a report beside it knows of it.

    Args:
        label_map: Its file.
        task: What the labels mean; else what `bundle` or the report says.
        scans: The files of its scan, in the order of the task's channels; else what the report
            says.
        bundle: The model that made it.

    Raises:
        ImageError: There is no such file.
        UsageError: The task or the scan is not told.
        DataError: The scan is not there any more.
    """
    if not label_map.is_file():
        raise ImageError("there is no such file", where=label_map, remedy="Check the path")
    task = task or (bundle.task if bundle else None)
    recorded = _recorded(label_map)
    if recorded is not None:
        document, entry = recorded
        task = task or _task_of(document, label_map.with_name(NAME))
        result = _result(entry, label_map.parent, task, scans)
        return Results(task, _origin(document), (result,))
    if task is None or not scans:
        raise UsageError(
            f"no {NAME} beside {label_map.name} tells its scan and what its labels mean",
            remedy="Name them with --scan FILE and --task NAME",
        )
    case = case_of(label_map)
    result = Result(case, label_map, tuple(scans), task)
    head = described(bundle) if bundle else {}
    return Results(task, _origin_of(head, version=None), (result,))


def without_paths(entry: Entry) -> str:
    """Return why a case failed, without the folders its files lie in."""
    text = entry.error or ""
    for path in (*entry.input, entry.output):
        text = text.replace(path, Path(path).name).replace(f"{Path(path).parent}/", "")
    return text


def _task_of(document: Document, path: Path) -> Task:
    head = document.model
    if "task_yaml" in head:
        return tasks.parse(head["task_yaml"], where=path)
    if head.get("task") in tasks.names():
        return tasks.read(head["task"])
    raise UsageError("does not say what its labels mean", where=path, remedy="Name it with --task")


def _origin(document: Document) -> Origin:
    return _origin_of(document.model, version=document.version)


def _origin_of(head: dict[str, str], *, version: str | None) -> Origin:
    return Origin(head.get("network"), head.get("hash"), version, head.get("plan_yaml"))


def _one_for_each(entries: Sequence[Entry]) -> list[Entry]:
    """Return one entry for each scan: that of the NIfTI file, else of one that can be read."""
    by_scan: dict[tuple[str, ...], list[Entry]] = {}
    for entry in entries:
        choice = [str(entry.settings.get(key)) for key in ("series", "volume")]
        by_scan.setdefault((*entry.input, *choice), []).append(entry)
    return [min(same, key=_rank) for same in by_scan.values()]


def _rank(entry: Entry) -> int:
    """Return 0 for NIfTI, 1 for what medseg reads too, 2 for what is for other programs alone."""
    if entry.output.endswith(_PREFERRED):
        return 0
    return 2 if formats.suffix_of(Path(entry.output)) is None else 1


def _require_readable(entries: Sequence[Entry], folder: Path) -> None:
    unread = [Path(entry.output).name for entry in entries if _rank(entry) == 2]
    if unread:
        raise UsageError(
            f"holds results that other programs read alone: {listed(unread)}",
            where=folder,
            remedy=f"Predict again with -o {folder} --format nii.gz, then report",
        )


def _told_apart(found: Sequence[Result]) -> list[Result]:
    """Name those results after their files whose scans, in several folders, have one name."""
    counts = Counter(result.case for result in found)
    return [
        replace(result, case=case_of(result.label_map)) if counts[result.case] > 1 else result
        for result in found
    ]


def _recorded(label_map: Path) -> tuple[Document, Entry] | None:
    path = label_map.with_name(NAME)
    if not path.is_file():
        return None
    document = read(path)
    same = [entry for entry in document.entries if Path(entry.output).name == label_map.name]
    return (document, same[-1]) if same else None


def _result(entry: Entry, folder: Path, task: Task, scans: Sequence[Path]) -> Result:
    label_map = _there(Path(entry.output), (folder,))
    if scans and not any(place.is_dir() for place in scans):
        images = tuple(scans)
    else:
        images = tuple(_there(Path(image), scans) for image in entry.input)
    series, volume = entry.settings.get("series"), entry.settings.get("volume")
    return Result(
        case=entry.case,
        label_map=label_map,
        images=images,
        task=_in_values(task, entry.label_values),
        choice=Choice(series, tuple(volume) if volume else None),
        channel_order=tuple(entry.channel_order) if entry.channel_order else None,
        entry=entry,
    )


def _there(path: Path, folders: Sequence[Path]) -> Path:
    """Return where a file is now: where it was, or in one of `folders`."""
    for candidate in (path, *(folder / path.name for folder in folders)):
        if candidate.exists():
            return candidate
    raise DataError(
        "is not there any more",
        where=path,
        remedy="Name the folder it lies in now with --scan",
    )


def _in_values(task: Task, values: dict[str, int]) -> Task:
    """Return the task with other values for its labels; as it is if none are told."""
    if not values or set(values) != set(task.labels):
        return task
    labels = {
        name: label.model_copy(update={"value": values[name]})
        for name, label in task.labels.items()
    }
    return task.model_copy(update={"labels": labels})
