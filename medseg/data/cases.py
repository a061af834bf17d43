"""A case: the images of one examination, and its label map; read and checked."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from medseg import formats
from medseg.errors import DataError, ImageError
from medseg.formats import ANY, Choice
from medseg.segmentation import FileValues
from medseg.shapes import LabelMap
from medseg.task import Task
from medseg.volume import Grid, Volume

_EXAMINATION: Final = re.compile(r"(BraTS-[A-Za-z]+-\d+)-\d+|(patient\d{3})_frame\d+")
"""Names of BraTS from 2023 on and of ACDC, in whatever layout: patient, then examination."""


@dataclass(frozen=True)
class Case:
    """The files of one examination of one patient.

    Attributes:
        name: What it is called in scores and messages.
        images: One file that holds all channels, or one file per channel in the task's order.
        label: The label map, if there is one.
        patient: Cases of one patient are never split; told by the name if absent.
        order: Places of the task's channels among those of the files; None if they are the same.
        values: Values of the label map that stand for something else; None if there are none.
        test: Whether the data set keeps it for testing: it is in no fold.
    """

    name: str
    images: tuple[Path, ...]
    label: Path | None = None
    patient: str | None = None
    order: tuple[int, ...] | None = None
    values: FileValues | None = None
    test: bool = False

    @property
    def subject(self) -> str:
        """The patient, or the name where nothing is known of one."""
        told = _EXAMINATION.fullmatch(self.name)
        return self.patient or (told[1] or told[2] if told else self.name)


def read_image(case: Case, task: Task, choice: Choice = ANY) -> Volume:
    """Read the channels of a case and check that a network can use them.

    Args:
        case: Names the files.
        task: Names the channels.
        choice: Which image is meant where a file or folder holds several.

    Raises:
        ImageError: A file is damaged, the number of channels is wrong, channels lie on different
            grids, or voxels are not finite or all alike.
    """
    volumes = [formats.read(path, choice) for path in case.images]
    for path, volume in zip(case.images, volumes, strict=True):
        _check_usable(volume, path)
        if not volume.grid.matches(volumes[0].grid):
            raise ImageError(
                f"lies on another grid than {case.images[0].name}: {_described(volume.grid)},"
                f" against {_described(volumes[0].grid)}",
                where=path,
                remedy="Resample the channels of a case onto one grid first",
            )
    several = len(volumes) > 1
    voxels = np.concatenate([v.voxels for v in volumes]) if several else volumes[0].voxels
    if case.order is not None:
        _require_described(len(voxels), case.order, where=case.images[0])
        voxels = voxels[list(case.order)]
    _check_channels(len(voxels), task, where=case.images[0])
    return Volume(voxels, volumes[0].grid)


def require_usable(volume: Volume, task: Task, *, where: Path | str) -> None:
    """Refuse a volume that a network for `task` cannot use.

    Raises:
        ImageError: The number of channels is wrong, or voxels are not finite or all alike.
    """
    _check_usable(volume, where)
    _check_channels(len(volume.voxels), task, where=where)


def read_labels(case: Case, task: Task, grid: Grid) -> LabelMap:
    """Read the label map of a case and check it against the task and the image's grid.

    Raises:
        DataError: It is missing, lies on another grid, or holds values the task does not know.
        ImageError: The file is damaged.
    """
    return translated(read_file_values(case), case, task, grid)


def read_file_values(case: Case) -> Volume:
    """Read the label map of a case as its file has it.

    Raises:
        DataError: It is missing.
        ImageError: The file is damaged.
    """
    if case.label is None:
        raise DataError("has no label map", where=case.name, remedy="Add it, or leave the case out")
    return formats.read_label_map(case.label)


def translated(volume: Volume, case: Case, task: Task, grid: Grid) -> LabelMap:
    """Return the label map that `read_file_values` read in the task's values; see `read_labels`."""
    if case.label is None:
        raise ValueError(f"{case.name} has no label map")
    labels = formats.as_segmentation(volume, case.label, task, case.values)
    if not labels.grid.matches(grid):
        raise DataError(
            f"lies on another grid than its image: {_described(labels.grid)},"
            f" against {_described(grid)}",
            where=case.label,
            remedy="Resample the label map onto the image (nearest neighbour), or mend its header",
        )
    return labels.label_map


def _check_usable(volume: Volume, path: Path | str) -> None:
    for channel, voxels in enumerate(volume.voxels):
        finite = np.isfinite(voxels)
        if not finite.all():
            raise ImageError(
                f"holds {int((~finite).sum())} voxels that are NaN or infinite"
                f" (channel {channel + 1})",
                where=path,
                remedy="Convert it anew, or set those voxels to the background's value",
            )
        if voxels.min() == voxels.max():
            raise ImageError(
                f"is constant: every voxel is {voxels.flat[0]:g} (channel {channel + 1})",
                where=path,
                remedy="Check that the right file was exported",
            )


def _require_described(found: int, order: tuple[int, ...], *, where: Path) -> None:
    if max(order) >= found:
        raise ImageError(
            f"has {found} channel{'s' if found > 1 else ''}, fewer than the description of its data"
            " set names",
            where=where,
            remedy="Copy it anew, or correct the channels in that description",
        )


def _check_channels(found: int, task: Task, *, where: Path | str) -> None:
    wanted = list(task.channels)
    if found != len(wanted):
        raise ImageError(
            f"has {found} channel{'s' if found > 1 else ''}, but task {task.name} needs"
            f" {len(wanted)}: {', '.join(wanted)}",
            where=where,
            remedy="Give one file per channel, or one whose fourth axis holds them in this order"
            " (--volume chooses one of several)",
        )


def _described(grid: Grid) -> str:
    spacing_mm = tuple(round(length, 3) for length in grid.spacing_mm)
    corners = np.array([[0, 0, 0, 1], [*(length - 1 for length in grid.shape), 1]])
    first, last = (tuple(np.round(corner, 2).tolist()) for corner in corners @ grid.affine[:3].T)
    return f"{grid.shape} voxels of {spacing_mm} mm from {first} to {last}"
