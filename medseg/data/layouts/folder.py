"""Plain folders of images and label maps, in one of three arrangements.

1. Two folders: `images` and `labels` (or `imagesTr`, `img`, ... and `labelsTr`, `masks`, ...), with
   files of one name; several channels end in `_0000`, `_0001`, ...
2. A folder for each case with files of the same names, one of them the label map (its name holds
   `seg`, `label`, `mask`, `lesion`, `gt` or `truth`); the others are the channels.
3. Pairs side by side: `NAME.nii.gz` and `NAME_seg.nii.gz` (or `_label`, `_mask`, `_gt`).

`labels.json` in the folder names the values of the label maps.
"""

import re
from collections import Counter
from pathlib import Path
from typing import Final

from medseg import formats
from medseg.data import label_names, results
from medseg.data.cases import Case
from medseg.data.data_set import DataSet
from medseg.errors import listed

RANK: Final = 3

_IMAGES: Final = ("imagestr", "images", "image", "img", "imgs", "scans")
_LABELS: Final = ("labelstr", "labels", "label", "masks", "mask", "segmentations", "segs", "gt")
_ROLE: Final = re.compile(r"[-_](seg|segmentation|label|labels|mask|gt)$", re.IGNORECASE)
_IS_LABEL: Final = re.compile(r"seg|label|mask|lesion|(^|[-_])gt([-_]|$)|truth", re.IGNORECASE)
_CHANNEL: Final = re.compile(r"(?P<case>.+)_(?P<channel>\d{4})")


def recognise(root: Path) -> DataSet | None:
    """Return the cases of the first arrangement that holds a label map."""
    if not root.is_dir():
        return None
    arrangements = {
        "images and labels in two folders": _two_folders,
        "a folder for each case": _case_folders,
        "images and labels side by side": _pairs,
    }
    found = {edition: arrange(root) for edition, arrange in arrangements.items()}
    fitting = [name for name, (cases, _) in found.items() if any(case.label for case in cases)]
    if not fitting:
        return None
    cases, channels = found[fitting[0]]
    numberings, others = label_names.read(root)
    return DataSet(
        layout="folder",
        edition=fitting[0],
        root=root,
        cases=tuple(cases),
        channels=channels,
        numberings=numberings,
        others_are_background=others,
        notes=_left_out(root, cases),
    )


def _files(folder: Path) -> dict[str, Path]:
    return {
        formats.stem(path): path
        for path in results.without(sorted(folder.iterdir()))
        if path.is_file() and formats.suffix_of(path) is not None
    }


def _two_folders(root: Path) -> tuple[list[Case], tuple[str, ...]]:
    images, labels = _inside(root, _IMAGES), _inside(root, _LABELS)
    if images is None or labels is None:
        return [], ()
    by_case = {_ROLE.sub("", stem): path for stem, path in _files(labels).items()}
    files = _files(images)
    if files.keys() & by_case.keys():  # scan_0001 has a label map: the number is not a channel's
        return [Case(name, (path,), by_case.get(name)) for name, path in files.items()], ("image",)
    grouped, channels = _grouped(files)
    cases = [Case(name, paths, by_case.get(name)) for name, paths in grouped.items()]
    return cases, channels


def _inside(root: Path, names: tuple[str, ...]) -> Path | None:
    """Return the first folder in `root` that is called so; None if there is none."""
    inside = {path.name.lower(): path for path in sorted(root.iterdir()) if path.is_dir()}
    return next((inside[name] for name in names if name in inside), None)


def _left_out(root: Path, cases: list[Case]) -> tuple[str, ...]:
    """Tell of label maps that are of no image."""
    folders = {case.label.parent for case in cases if case.label is not None}
    apart = _inside(root, _LABELS)
    inside = [path for folder in folders & {root, apart} for path in _files(folder).values()]
    known = {path for case in cases for path in (*case.images, case.label)}
    left = sorted(path.name for path in inside if path not in known)
    if not left:
        return ()
    return (f"Label maps without an image of their name are left out: {listed(left)}",)


def _grouped(files: dict[str, Path]) -> tuple[dict[str, tuple[Path, ...]], tuple[str, ...]]:
    """Put the channels of a case together, if all files are numbered as such."""
    matches = {stem: _CHANNEL.fullmatch(stem) for stem in files}
    if not all(matches.values()):
        return {stem: (path,) for stem, path in files.items()}, ("image",)
    cases: dict[str, dict[str, Path]] = {}
    for stem, match in matches.items():
        if match is not None:
            cases.setdefault(match["case"], {})[match["channel"]] = files[stem]
    channels = sorted({channel for paths in cases.values() for channel in paths})
    some = next(iter(files.values()))
    ending = formats.suffix_of(some) or ""
    grouped = {
        name: tuple(paths.get(n, some.with_name(f"{name}_{n}{ending}")) for n in channels)
        for name, paths in cases.items()
    }
    names = ("image",) if len(channels) == 1 else tuple(f"channel_{int(n)}" for n in channels)
    return grouped, names


def _case_folders(root: Path) -> tuple[list[Case], tuple[str, ...]]:
    folders = {path: _roles(path) for path in sorted(root.iterdir()) if path.is_dir()}
    folders = {path: roles for path, roles in folders.items() if len(roles) > 1}
    counted = Counter(role for roles in folders.values() for role in roles)
    shared = sorted(role for role, count in counted.items() if 2 * count > len(folders))
    labels = [role for role in shared if _IS_LABEL.search(role)]
    channels = [role for role in shared if role not in labels]
    if len(labels) != 1 or not channels:
        return [], ()
    cases = []
    for folder, roles in folders.items():
        ending = formats.suffix_of(next(iter(roles.values()))) or ""
        images = tuple(roles.get(role, folder / f"{role}{ending}") for role in channels)
        cases.append(Case(folder.name, images, roles.get(labels[0])))
    return cases, tuple(channels)


def _roles(folder: Path) -> dict[str, Path]:
    """Return the images of a case's folder by their name, without that of the case."""
    return {
        stem.removeprefix(folder.name).strip("-_") or stem: path
        for stem, path in _files(folder).items()
    }


def _pairs(root: Path) -> tuple[list[Case], tuple[str, ...]]:
    files = _files(root)
    labels = {_ROLE.sub("", stem): path for stem, path in files.items() if _ROLE.search(stem)}
    images = {stem: path for stem, path in files.items() if not _ROLE.search(stem)}
    return [Case(stem, (path,), labels.get(stem)) for stem, path in images.items()], ("image",)
