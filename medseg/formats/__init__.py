"""Image files and volumes: one module per format, chosen by the file's name.

A module offers `SUFFIXES`, the endings it reads (lower case), and `read(path, choice)`. One whose
files hold an image and its label map together also offers `read_label_map(path)`. A folder is read
as a series of DICOM slices.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from jaxtyping import Shaped

import medseg.formats as this_package
from medseg import registry, segment_names
from medseg.errors import DataError, ImageError
from medseg.segmentation import FileValues, Segmentation, label_map_dtype
from medseg.shapes import Affine
from medseg.task import Task
from medseg.volume import Grid, Volume


@dataclass(frozen=True)
class Choice:
    """Which image is meant where a file or folder holds several.

    Attributes:
        series: UID or description of a DICOM series, or a part of the description.
        volume: Number of a volume of a file with four axes, counted from 1; two numbers for a file
            with five.
    """

    series: str | None = None
    volume: tuple[int, ...] | None = None


_FILE_META_BYTES: Final = 512
_SEGMENTATION_CLASS: Final = re.compile(rb"1\.2\.840\.10008\.5\.1\.4\.1\.1\.66\.[47]\b")

ANY: Final = Choice()
"""For files that hold one image, or all of whose volumes are channels."""


def suffixes() -> dict[str, str]:
    """Return every known ending with the module that reads it."""
    return {
        suffix: name
        for name in registry.names(this_package)
        for suffix in registry.load(this_package, name).SUFFIXES
    }


def suffix_of(path: Path) -> str | None:
    """Return the known ending of `path`, the longest if several fit, or None.

    Hidden files, such as the `._` files that macOS leaves beside images, have none.
    """
    name = path.name.lower()
    fitting = [suffix for suffix in suffixes() if name.endswith(suffix)]
    if name.startswith(".") or not fitting:
        return None
    return max(fitting, key=len)


def stem(path: Path) -> str:
    """Return the name of `path` without its known ending."""
    return path.name[: len(path.name) - len(suffix_of(path) or "")]


def read(path: Path, choice: Choice = ANY) -> Volume:
    """Read an image of any known format, or a folder that holds DICOM slices.

    Raises:
        ImageError: There is no such file, its format is unknown, it is damaged, or it holds
            several images and `choice` does not say which.
    """
    if not path.exists():
        raise ImageError("there is no such file", where=path, remedy="Check the path")
    suffix = suffix_of(path)
    if path.is_dir() or (suffix is None and starts_as_dicom(path)):
        return _read_by("dicom", path, choice)
    if suffix is None:
        raise ImageError(
            "is not an image medseg can read",
            where=path,
            remedy=f"Convert it to one of {', '.join(sorted(suffixes()))}",
        )
    return _read_by(suffixes()[suffix], path, choice)


def read_label_map(path: Path, threshold: float | None = None) -> Volume:
    """Read a label map as its file has it; of a file that holds an image beside it, the label map.

    Args:
        path: The file.
        threshold: In a DICOM segmentation with fractions, from which one on a voxel counts.

    Raises:
        ImageError: There is no such file, its format is unknown, or it is damaged.
    """
    if path.is_file() and is_dicom_segmentation(path):
        with _explained(path):
            return _module("dicom").read_label_map(path, threshold=threshold)
    module = suffixes().get(suffix_of(path) or "")
    if module is None or not path.is_file() or not hasattr(_module(module), "read_label_map"):
        return read(path)
    with _explained(path):
        return _module(module).read_label_map(path)


def _module(name: str) -> Any:
    return registry.load(this_package, name)


def _read_by(module: str, path: Path, choice: Choice) -> Volume:
    with _explained(path):
        return _module(module).read(path, choice)


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Say what to install where the package that reads `path` is missing."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise ImageError(
            f"needs {error.name}, which is not installed",
            where=path,
            remedy=f"Install it with 'pip install {error.name}', or convert the image to NIfTI",
        ) from error


def holds_dicom(folder: Path) -> bool:
    """Tell whether a file in `folder` starts as DICOM files do; segmentations do not count."""
    files = (path for path in sorted(folder.iterdir()) if path.is_file())
    return any(starts_as_dicom(path) and not is_dicom_segmentation(path) for path in files)


def chosen_volume(
    channels: Shaped[np.ndarray, "channels i j k"], choice: Choice, *, where: Path
) -> Shaped[np.ndarray, "chosen i j k"]:
    """Return a copy of the one of `channels` that `choice` names, or all if it names none.

    The others need not be held for its sake.

    Raises:
        ImageError: There are not that many.
    """
    if choice.volume is None:
        return channels
    if len(choice.volume) != 1 or not 1 <= choice.volume[0] <= len(channels):
        raise no_such_volume(choice, (len(channels),), where=where)
    return np.array(channels[choice.volume[0] - 1 : choice.volume[0]], order="K")


def no_such_volume(choice: Choice, counts: tuple[int, ...], *, where: Path) -> ImageError:
    """Return the error that says which volumes there are.

    Args:
        choice: Names a volume that is not there.
        counts: How many there are along each axis after the third.
        where: The file.
    """
    named = ",".join(map(str, choice.volume or ()))
    there = " and ".join(f"1 to {count}" for count in counts)
    return ImageError(
        f"has no volume {named}; there are {there}",
        where=where,
        remedy="Name a volume by one number for each axis after the third, separated by a comma",
    )


def as_numbers(voxels: np.ndarray, *, where: Path) -> np.ndarray:
    """Return `voxels` in the machine's byte order, real numbers as float32.

    Raises:
        ImageError: They are colours or complex numbers.
    """
    if voxels.dtype.kind not in "biuf":
        raise ImageError(
            f"holds {voxels.dtype} instead of numbers",
            where=where,
            remedy="Export the scan as a grey-scale image",
        )
    if voxels.dtype.kind == "f":
        with np.errstate(over="ignore"):  # too large for float32 becomes infinite, refused later
            return voxels.astype(np.float32, copy=False)
    return voxels.astype(voxels.dtype.newbyteorder("="), copy=False)


def without_geometry(voxels: np.ndarray, *, where: Path) -> Volume:
    """Return an array with slices first as a volume of 1 mm voxels around the world's origin.

    Raises:
        ImageError: It does not have three axes, or holds no numbers.
    """
    if voxels.ndim != 3 or 0 in voxels.shape:
        raise ImageError(
            f"has the shape {voxels.shape}",
            where=where,
            remedy="Give volumes with three axes, slices first",
        )
    k, i, j = voxels.shape
    affine = np.eye(4)
    affine[:3, 3] = -(np.array([i, j, k]) - 1) / 2
    numbers = as_numbers(voxels, where=where)
    return Volume(numbers.transpose(1, 2, 0)[None], Grid((i, j, k), affine))


def as_affine(affine: np.ndarray, *, where: Path) -> Affine:
    """Return `affine` in double precision.

    Raises:
        ImageError: It is singular or not finite.
    """
    affine = np.asarray(affine, dtype=np.float64)
    if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-12:
        raise ImageError(
            "has no usable position: its affine is singular or not finite",
            where=where,
            remedy="Convert the scan anew from DICOM, or repair the sform of its header",
        )
    return affine


def read_segmentation(path: Path, task: Task, values: FileValues | None = None) -> Segmentation:
    """Read a label map whose values are labels of `task`.

    A `.seg.nrrd` or DICOM segmentation is read by the names of its segments, if they have any; see
    `segment_names`.

    Args:
        path: The file.
        task: What the values mean.
        values: Values of the file that stand for something else; none if absent.

    Raises:
        ImageError: There is no such file, its format is unknown, or it is damaged.
        DataError: It has several channels, or a value or segment that is no label of `task`.
    """
    return as_segmentation(read_label_map(path), path, task, values)


def as_segmentation(
    volume: Volume, path: Path, task: Task, values: FileValues | None = None
) -> Segmentation:
    """Return what `read_label_map` read of `path` as labels of `task`; see `read_segmentation`."""
    volume = _by_segments(volume, path, task)
    if volume.voxels.shape[0] != 1:
        raise DataError(
            f"has {volume.voxels.shape[0]} channels, but a label map has one",
            where=path,
            remedy="Give a label map with one layer, such as the NIfTI file, and not the scan",
        )
    voxels = volume.voxels[0]
    if values is not None:
        voxels = values.applied(voxels, task)
    known = {0: "background"} | {label.value: name for name, label in task.labels.items()}
    unknown = [value for value in np.unique(voxels).tolist() if value not in known]
    if unknown:
        shown = ", ".join(f"{value:g}" for value in unknown[:5]) + ", ..." * (len(unknown) > 5)
        raise DataError(
            f"holds the value {shown}, which is no label of task {task.name} ({known})",
            where=path,
            remedy="Give a label map of this task, or name the task it belongs to",
        )
    return Segmentation(voxels.astype(label_map_dtype(task)), volume.grid, task)


def _by_segments(volume: Volume, path: Path, task: Task) -> Volume:
    """Return the label map that a file's segments make up; other files as they are."""
    layers = len(volume.voxels)
    if suffix_of(path) == ".seg.nrrd":
        segments = _module("simpleitk").segments(path)
    elif path.is_file() and is_dicom_segmentation(path):
        segments = _module("dicom").segments_of(path, layers)
    else:
        return volume
    if segment_names.are_by_value(volume.voxels, segments, task):
        return volume
    label_map = segment_names.label_map_of(volume.voxels, segments, task, where=path)
    return Volume(label_map[None], volume.grid)


def starts_as_dicom(path: Path) -> bool:
    """Tell whether a file has the mark that DICOM files carry after 128 bytes."""
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"


def is_dicom_segmentation(path: Path) -> bool:
    """Tell whether a file is a DICOM segmentation, with bits or with a number per voxel."""
    with path.open("rb") as file:
        beginning = file.read(_FILE_META_BYTES)
    return beginning[128:132] == b"DICM" and _SEGMENTATION_CLASS.search(beginning) is not None
