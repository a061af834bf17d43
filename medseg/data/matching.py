"""What of a data set is what of a task: channels and labels are matched by name.

The task is returned with the data set's own label values, so that predictions are written in them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from medseg.data.cases import Case
from medseg.data.channel_names import SPELLINGS, meaning
from medseg.data.data_set import BACKGROUND, DataSet, plain, sequence
from medseg.errors import DataError, UsageError, listed
from medseg.segmentation import FileValues
from medseg.task import Task

_ANY_MR = ("mr", "mri")


@dataclass(frozen=True)
class Matched:
    """A data set and a task that fit each other.

    Attributes:
        data_set: The cases now have the task's channels and labels.
        task: The task in the data set's values.
        notes: What a user should know of how they were brought together.
    """

    data_set: DataSet
    task: Task
    notes: tuple[str, ...] = ()


def match(data_set: DataSet, task: Task, numbering: str | None = None) -> Matched:
    """Bring a data set and a task together.

    Args:
        data_set: As its layout found it.
        task: What is to be segmented.
        numbering: Which of the data set's numberings holds, in place of its own choice.

    Raises:
        UsageError: There is no such numbering.
        DataError: A channel or a label of the task is not in the data, or the data have labels
            the task does not know and that are not known to be left out.
    """
    if numbering is not None:
        data_set = _numbered(data_set, numbering)
    places = _places(data_set, task)
    values, dropped = _values(data_set, task)
    adapted = _with_values(task, {name: numbers[0] for name, numbers in values.items()})
    changed = {number: numbers[0] for numbers in values.values() for number in numbers[1:]}
    changed |= dict.fromkeys(dropped, 0)
    file_values = None
    if changed or data_set.others_are_background:
        file_values = FileValues(tuple(sorted(changed.items())), data_set.others_are_background)
    cases = tuple(
        replace(_with_channels(case, places, len(data_set.channels)), values=file_values)
        for case in data_set.cases
    )
    notes = tuple(_notes(data_set, task, adapted, dropped))
    return Matched(replace(data_set, cases=cases), adapted, notes)


def _numbered(data_set: DataSet, numbering: str) -> DataSet:
    if numbering not in data_set.numberings:
        known = ", ".join(data_set.numberings) or "none by name"
        raise UsageError(
            f"{data_set.edition} has no numbering {numbering!r}",
            remedy=f"Known are: {known}; leave --numbering away to take the usual one",
        )
    return replace(data_set, numbering=numbering)


def _places(data_set: DataSet, task: Task) -> tuple[int, ...]:
    """Return where each channel of the task is among those of the data."""
    wanted = [sequence(name) for name in task.channels]
    given = [sequence(name) for name in data_set.channels]
    if set(wanted) <= set(given):
        return tuple(given.index(name) for name in wanted)
    as_many = len(wanted) == len(given)
    if as_many and not set(wanted) & set(given) and not _contradict(data_set, task):
        return tuple(range(len(wanted)))
    raise DataError(
        f"has the channels {', '.join(data_set.channels)}, but task {task.name} needs"
        f" {', '.join(task.channels)}",
        where=data_set.root,
        remedy="Choose the task that fits these data with --task, or name the channels alike",
    )


def _contradict(data_set: DataSet, task: Task) -> bool:
    """Tell whether a channel is known to be another than the task's in its place.

    Those that the field has no name for, such as `image` or `MRI`, may be any of their modality.
    """
    told = data_set.modalities or ("",) * len(data_set.channels)
    return any(
        (modality == "ct" and wanted == "mr")
        or (plain(name) in _ANY_MR and wanted == "ct")
        or {meaning(name), meaning(channel)} <= SPELLINGS.keys()
        for name, modality, (channel, wanted) in zip(
            data_set.channels, told, task.channels.items(), strict=True
        )
    )


def _with_channels(case: Case, places: tuple[int, ...], given: int) -> Case:
    if places == tuple(range(given)):
        return case
    if len(case.images) == given:
        return replace(case, images=tuple(case.images[place] for place in places))
    return replace(case, order=places)


def _values(data_set: DataSet, task: Task) -> tuple[dict[str, list[int]], list[int]]:
    """Return the values of each label in the files, and the values that count as background."""
    named = {value: plain(name) for value, name in data_set.labels.items()}
    own = {name: [label.value] for name, label in task.labels.items()}
    known = set(named.values()) & set(task.labels)
    if not known and not data_set.spare:
        _require_same_values(data_set, task)
        return own, []
    lacking = [name for name in task.labels if name not in known]
    if lacking:
        raise DataError(
            f"has no label {listed(lacking)}, which task {task.name} needs; it has"
            f" {listed(sorted(set(named.values()) - {BACKGROUND}))}",
            where=data_set.root,
            remedy="Choose the task that fits these data with --task",
        )
    dropped = [value for value, name in named.items() if name not in known]
    unknown = [named[value] for value in dropped if named[value] != BACKGROUND]
    if unknown and not data_set.spare:
        raise DataError(
            f"has the labels {listed(unknown)}, which task {task.name} does not know",
            where=data_set.root,
            remedy="Choose the task that fits these data with --task, or name them background",
        )
    found = {name: [value for value in named if named[value] == name] for name in task.labels}
    return found, [value for value in dropped if value != 0]


def _require_same_values(data_set: DataSet, task: Task) -> None:
    """Refuse other values or regions than a task has, where names do not help."""
    known = {label.value for label in task.labels.values()}
    values = {value for value, name in data_set.labels.items() if plain(name) != BACKGROUND} - {0}
    remedy = "Choose the task that fits these data with --task, or name its labels as the data do"
    if values and values != known:
        raise DataError(
            f"names the label values {sorted(values)}, but task {task.name} knows {sorted(known)}",
            where=data_set.root,
            remedy=remedy,
        )
    own = [
        {task.labels[name].value for name in task.labels_of(region)} for region in task.region_names
    ]
    others = [name for name, region in data_set.regions.items() if set(region) not in own]
    if others:
        raise DataError(
            f"makes the region {others[0]} of the values {sorted(data_set.regions[others[0]])}, and"
            f" task {task.name} has no region of these",
            where=data_set.root,
            remedy=remedy,
        )


def _with_values(task: Task, values: Mapping[str, int]) -> Task:
    if all(label.value == values[name] for name, label in task.labels.items()):
        return task
    labels = {
        name: label.model_copy(update={"value": values[name]})
        for name, label in task.labels.items()
    }
    return task.model_copy(update={"labels": labels})


def _notes(data_set: DataSet, task: Task, adapted: Task, dropped: list[int]) -> list[str]:
    notes = []
    changed = [
        f"{name} {label.value}"
        for name, label in adapted.labels.items()
        if label.value != task.labels[name].value
    ]
    if changed:
        notes.append(
            f"These data number labels otherwise than task {task.name}: {', '.join(changed)};"
            " predictions are written with the data's values"
        )
    named = {value: plain(name) for value, name in data_set.labels.items() if value}
    if named and not {*named.values(), BACKGROUND} & {*task.labels}:
        told = {label.value: name for name, label in task.labels.items()}
        pairs = [
            f"{name} ({value}) as {told[value]}" for value, name in named.items() if value in told
        ]
        notes.append(f"Labels are matched by value, since their names differ: {', '.join(pairs)}")
    left = [f"{data_set.labels[value]} ({value})" for value in dropped]
    if left:
        notes.append(f"Counted as background, since task {task.name} lacks it: {', '.join(left)}")
    return notes
