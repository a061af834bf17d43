"""The scans that outlines are drawn on: found by the names of the cases, and by no others."""

import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Final

from medseg import formats
from medseg.errors import DataError, listed
from medseg.task import Task

_CHANNELS: Final = ("t1", "t1ce", "t2", "flair", "t1n", "t1c", "t2w", "t2f")
"""What BraTS' files carry behind the case, from 2018 on."""


def find(
    folder: Path, cases: Collection[str], task: Task, *, label_maps: Collection[Path] = ()
) -> Mapping[str, Path]:
    """Return the scan of each case: `CASE.nii.gz`, or else the first of its channels.

    Channels are called as nnU-Net does (`CASE_0000`), as BraTS does (`CASE_flair`, `CASE-t2f`), or
    by the task's channels.

    Args:
        folder: Where the scans lie, side by side.
        cases: All cases that may be drawn.
        task: Its channels are known names.
        label_maps: Files that are scored, and hence no scans, wherever they lie.

    Raises:
        DataError: There is no such folder, or a case has no scan there.
    """
    if not folder.is_dir():
        raise DataError("there is no such folder", where=folder, remedy="Check the path")
    scored = {path.resolve() for path in label_maps}
    by_stem = {
        formats.stem(path): path
        for path in sorted(folder.iterdir())
        if formats.suffix_of(path) is not None and path.resolve() not in scored
    }
    found = {case: _scan_of(case, by_stem, task) for case in cases}
    missing = [case for case, path in found.items() if path is None]
    if missing:
        raise DataError(
            f"holds no scan of {listed(missing)}",
            where=folder,
            remedy=f"Give the folder of {missing[0]}.nii.gz or {missing[0]}_0000.nii.gz and the"
            " others, side by side, or leave out --images",
        )
    return {case: path for case, path in found.items() if path is not None}


def _scan_of(case: str, by_stem: Mapping[str, Path], task: Task) -> Path | None:
    if case in by_stem:
        return by_stem[case]
    known = "|".join(map(re.escape, (*task.channels, *_CHANNELS)))
    channel = re.compile(rf"{re.escape(case)}(_\d{{4}}|[_-]({known}))", re.IGNORECASE)
    return next((path for stem, path in by_stem.items() if channel.fullmatch(stem)), None)
