"""Which files make a scan: single files, channels by name, case folders, folders of cases.

A folder may hold images that are a case each; the channels of cases side by side, as in BraTS
(`CASE_t1.nii.gz`, `CASE-t1n.nii.gz`) or nnU-Net (`CASE_0000.nii.gz`); DICOM slices; or folders of
these. A folder that was named may hold both images and such folders: all are taken, and those of
which there are fewer are told of. Below it, what lies beside folders is a case, and they are its
own: they are passed over, which is told.

Label maps that lie beside their scan (`_seg`, `_gt`) are left out, and so are results of medseg,
and ACDC's films (`_4d`) beside their frames. Of a data set that a layout knows and that fits the
task, all cases are taken, called as there.
"""

import itertools
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from medseg import formats
from medseg.data import channel_names, layouts, results
from medseg.data.cases import Case
from medseg.data.matching import Matched, match
from medseg.errors import DataError, ImageError, MedsegError, UsageError
from medseg.formats import dicom
from medseg.task import Task

RESULT: Final = "_seg"
_BESIDE: Final = ("_seg", "-seg", "_gt", "-gt", "_label", "_labels")
_NUMBERED: Final = re.compile(r"(?P<case>.+)_(?P<number>\d{4})")
_FRAME: Final = re.compile(r"(?P<patient>.+)_frame\d+")
_UNNAMED: Final = "number "
_DEEPEST: Final = 4
_PASSED_OVER: Final = "folders beside it that hold images, {} in number, were not searched"
_BESIDE_FOLDERS: Final = (
    "it lies beside folders that hold scans, {} in number; if it is none itself, move it away"
)
_IN_FOLDER: Final = (
    "it lies in a folder beside scans, {} in number; if it is none itself, move it away"
)


@dataclass(frozen=True)
class Scan:
    """A case to be segmented.

    Attributes:
        case: Its name and files.
        fault: Why it cannot be, as far as its files' names tell; the other scans still can.
        matched: The data set it is of, in whose values its segmentation is written; None for a
            scan of its own.
        remark: What a user should know of the folder it was found in.
    """

    case: Case
    fault: MedsegError | None = None
    matched: Matched | None = field(default=None, compare=False)
    remark: str | None = None


def by_channel(paths: Mapping[str, Path], task: Task) -> Scan:
    """Return the scan whose channels were named one by one.

    Raises:
        UsageError: A name is no channel of the task, a channel is missing or given twice, or a
            file's own name says that it is another one.
    """
    channels = tuple(task.channels)
    found: dict[str, Path] = {}
    for name, path in paths.items():
        channel = channel_names.of_channel(name, channels)
        if channel is None:
            raise UsageError(
                f"task {task.name} has no channel {name!r}; it has {', '.join(channels)}",
                remedy="Name its channels, such as " + _example(channels),
            )
        if channel in found:
            raise UsageError(f"channel {channel} was given twice", remedy="Give one file for each")
        found[channel] = path
    missing = [channel for channel in channels if channel not in found]
    if missing:
        raise UsageError(
            f"task {task.name} needs {len(channels)} channels, and {', '.join(missing)} was not"
            " given",
            remedy="Name all, such as " + _example(channels),
        )
    images = tuple(found[channel] for channel in channels)
    contradiction = _contradiction(images, channels)
    if contradiction is not None:
        raise contradiction
    stem = formats.stem(images[0])
    name = channel_names.split_stem(stem)[0] if channel_names.told_by(stem, channels) else stem
    return Scan(Case(name or stem, images))


def find(paths: list[Path], task: Task, *, series: str | None = None) -> list[Scan]:
    """Return the scans in `paths`: files, and folders whose scans are all taken.

    Args:
        paths: Files and folders.
        task: Names the channels.
        series: Of the DICOM folders below a folder, those without this series are passed over.

    Raises:
        ImageError: There is no such file, or a folder holds no image.
    """
    found: dict[tuple[Path, ...], Scan] = {}
    for path in paths:
        if len(paths) > 1 and results.has_report(path) and not _in_folder(path, task, series):
            continue  # results of an earlier run, named with all the others by a pattern
        for scan in _in(path, task, series):
            found.setdefault(tuple(image.absolute() for image in scan.case.images), scan)
    return list(found.values())


def _in(path: Path, task: Task, series: str | None) -> list[Scan]:
    if not path.exists():
        raise ImageError("there is no such file or folder", where=path, remedy="Check the path")
    if not path.is_dir():
        return [_checked(Case(formats.stem(path), (path,)), task)]
    matched, remark = _data_set(path, task)
    if matched is not None:
        return [Scan(case, matched=matched) for case in matched.data_set.cases]
    scans = _in_folder(path, task, series)
    if not scans:
        raise ImageError(
            "holds no image",
            where=path,
            remedy=f"Give a folder with files ending in {', '.join(sorted(formats.suffixes()))}",
        )
    return [replace(scan, remark=remark) for scan in scans] if remark else scans


def _data_set(folder: Path, task: Task) -> tuple[Matched | None, str | None]:
    """Return the data set below a folder; None for scans side by side, with a remark if need be.

    Data without the task's labels are still scans, and what is amiss in some cases is told of each.
    A data set that contradicts itself does not say which values its labels have.
    """
    try:
        found = layouts.recognise(folder, task)
    except DataError as error:
        reason = error.what.splitlines()[0]
        return None, (
            f"its data set cannot be taken as one: it {reason}; labels are written with"
            " the model's own values"
        )
    if found is None or layouts.is_flat(found):
        return None, None
    try:
        return match(found, task), None
    except DataError:
        return None, None


def _in_folder(folder: Path, task: Task, series: str | None, *, depth: int = 0) -> list[Scan]:
    inside = sorted(path for path in folder.iterdir() if path.is_dir())
    here = _right_in(folder, [path.name for path in inside], task, series, depth=depth)
    deeper = [
        _in_folder(path, task, series, depth=depth + 1)
        for path in inside
        if depth < _DEEPEST and path.name[0] != "."
    ]
    below, holding = list(itertools.chain(*deeper)), sum(map(bool, deeper))
    if not here or not below:
        return [*here, *below]
    if depth:
        return [replace(scan, remark=_PASSED_OVER.format(holding)) for scan in here]
    if len(here) > holding:
        below = [replace(scan, remark=_IN_FOLDER.format(len(here))) for scan in below]
    else:
        here = [replace(scan, remark=_BESIDE_FOLDERS.format(holding)) for scan in here]
    return [*here, *below]


def _right_in(
    folder: Path, inside: list[str], task: Task, series: str | None, *, depth: int
) -> list[Scan]:
    """Return the scans of a folder without those of the folders `inside` it."""
    if formats.holds_dicom(folder):
        named = folder if folder.name.strip(".") else folder.resolve()  # `.` has no name
        scan = Scan(Case(formats.stem(named), (named,)))
        return [scan] if depth == 0 or _may_hold(folder, series) else []
    files = sorted(file for file in folder.iterdir() if file.is_file() and _may_be_scan(file))
    names = {file.name for file in files}
    images = [file for file in results.without(files) if not _is_header(file.name, names)]
    images = _without_labels(images, set(inside))
    return _grouped(folder, images, task) if images else []


def _may_hold(folder: Path, series: str | None) -> bool:
    """Tell whether a DICOM folder is wanted; a damaged one is, so that its error is told."""
    try:
        return series is None or dicom.holds_series(folder, series)
    except ImageError:
        return True


def _may_be_scan(file: Path) -> bool:
    return formats.suffix_of(file) is not None and not formats.is_dicom_segmentation(file)


def _is_header(name: str, names: set[str]) -> bool:
    """Tell whether `name` is the header of another file, as in a pair of `.hdr` and `.img`."""
    stem = name.removesuffix(".gz").removesuffix(".hdr")
    return stem != name.removesuffix(".gz") and bool({stem + ".img", stem + ".img.gz"} & names)


def _without_labels(images: list[Path], folders: set[str]) -> list[Path]:
    """Leave out the label maps of scans beside them: files, or folders of DICOM slices."""
    stems = [formats.stem(image) for image in images]
    names = {image.name for image in images} | folders
    framed = {match["patient"] for stem in stems if (match := _FRAME.fullmatch(stem))}

    def is_left_out(stem: str) -> bool:
        if stem.removesuffix("_4d") in framed:
            return True
        bases = [stem.removesuffix(ending) for ending in _BESIDE if stem.endswith(ending)]
        return any(
            (other != stem and (other == base or _is_channel_of(other, base))) or base in names
            for base in bases
            for other in stems
        )

    return [image for image, stem in zip(images, stems, strict=True) if not is_left_out(stem)]


def _is_channel_of(stem: str, case: str) -> bool:
    beginning, word = channel_names.split_stem(stem)
    known = channel_names.meaning(word) in channel_names.SPELLINGS or bool(
        re.fullmatch(r"\d{4}", word)
    )
    return beginning == case and known


def _grouped(folder: Path, images: list[Path], task: Task) -> list[Scan]:
    """Put the channels of each case together; what is no channel is a case of its own."""
    channels = tuple(task.channels)
    numbers = _numbers(folder)
    groups: dict[str, dict[str, Path]] = {}
    alone: list[Path] = []
    for image in images:
        case, channel = _parted(formats.stem(image), channels, numbers)
        if channel is None or channel in groups.get(case, {}):
            alone.append(image)
        else:
            groups.setdefault(case, {})[channel] = image
    if len(channels) == 1:  # one channel of a case that has no other is a plain file
        plain = [case for case, files in groups.items() if len(files) == 1]
        alone += [image for case in plain for image in groups.pop(case).values()]
    scans = [_checked(Case(formats.stem(image), (image,)), task) for image in alone]
    scans += [_of_channels(case, files, task) for case, files in groups.items()]
    return sorted(scans, key=lambda scan: scan.case.images[0].name)


def _parted(
    stem: str, channels: tuple[str, ...], numbers: Mapping[str, str]
) -> tuple[str, str | None]:
    """Return the case and the channel that a stem names; None if it names no channel."""
    match = _NUMBERED.fullmatch(stem)
    if match:
        named = numbers.get(str(int(match["number"])))
        place = int(match["number"])
        by_order = channels[place] if place < len(channels) else f"{_UNNAMED}{place:04d}"
        meant = channel_names.of_channel(named, channels) or named if named else by_order
        return match["case"], meant
    return channel_names.split_stem(stem)[0], channel_names.told_by(stem, channels)


def _numbers(folder: Path) -> dict[str, str]:
    """Return the names of numbered channels in the data set's `dataset.json`, if there is one."""
    for place in (folder, folder.resolve().parent):
        try:
            description = json.loads((place / "dataset.json").read_text(encoding="utf-8"))
            named = description.get("channel_names") or description["modality"]
            return {str(number): str(name) for number, name in named.items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            continue
    return {}


def _of_channels(name: str, files: dict[str, Path], task: Task) -> Scan:
    channels = tuple(task.channels)
    missing = [channel for channel in channels if channel not in files]
    unnamed = [channel for channel in files if channel.startswith(_UNNAMED)]
    images = tuple(files[channel] for channel in channels if channel in files)
    if not missing and not unnamed:
        return Scan(Case(name, images))
    wrong = (
        f"lacks the channel {', '.join(missing)} of task {task.name}; it has {', '.join(files)}"
        if missing
        else f"has {len(files)} channels, but task {task.name} has {', '.join(channels)} alone"
    )
    fault = ImageError(
        wrong,
        where=str(next(iter(files.values())).with_name(name)),
        remedy="Name the files one by one, such as " + _example(channels),
    )
    return Scan(Case(name, images or tuple(files.values())), fault)


def _checked(case: Case, task: Task) -> Scan:
    """Refuse a file whose name says that it is a channel of another task."""
    return replace(Scan(case), fault=_contradiction(case.images, tuple(task.channels)))


def _contradiction(images: tuple[Path, ...], channels: tuple[str, ...]) -> UsageError | None:
    """Return the error that a file's name tells of another channel than it was given for."""
    if len(images) != len(channels):
        return None  # one file that holds all channels
    for image, channel in zip(images, channels, strict=True):
        told = channel_names.told_by(formats.stem(image), channels)
        known = channel_names.meaning(channel) in channel_names.SPELLINGS
        if known and told is not None and told != channel:
            return UsageError(
                f"is taken for the channel {channel}, but its name says {told}",
                where=image,
                remedy="Give the right file, or rename it if its name is wrong",
            )
    return None


def _example(channels: tuple[str, ...]) -> str:
    return " ".join(f"--{channel} FILE" for channel in channels)
