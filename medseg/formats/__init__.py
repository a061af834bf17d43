"""Image files and volumes: one module per format, chosen by the file's name.

A module offers `SUFFIXES`, the endings it reads (lower case), and `read(path)`. A folder is read
as one series of DICOM slices.
"""

from pathlib import Path

import numpy as np

import medseg.formats as this_package
from medseg import registry, segment_names
from medseg.errors import DataError, ImageError
from medseg.segmentation import Segmentation, label_map_dtype
from medseg.shapes import Affine
from medseg.task import Task
from medseg.volume import Volume


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


def read(path: Path) -> Volume:
    """Read an image of any known format, or a folder that holds one series of DICOM slices.

    Raises:
        ImageError: There is no such file, its format is unknown, or it is damaged.
    """
    if not path.exists():
        raise ImageError("there is no such file", where=path, remedy="Check the path")
    suffix = suffix_of(path)
    if path.is_dir():
        return _read_by("dicom", path)
    if suffix is None:
        raise ImageError(
            "is not an image medseg can read",
            where=path,
            remedy=f"Convert it to one of {', '.join(sorted(suffixes()))}",
        )
    return _read_by(suffixes()[suffix], path)


def _read_by(module: str, path: Path) -> Volume:
    try:
        return registry.load(this_package, module).read(path)
    except ModuleNotFoundError as error:
        raise ImageError(
            f"needs {error.name}, which is not installed",
            where=path,
            remedy=f"Install it with 'pip install {error.name}', or convert the image to NIfTI",
        ) from error


def holds_dicom(folder: Path) -> bool:
    """Tell whether a file lies in `folder` that starts as DICOM files do."""
    return any(starts_as_dicom(path) for path in sorted(folder.iterdir()) if path.is_file())


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


def read_segmentation(path: Path, task: Task) -> Segmentation:
    """Read a label map whose values are labels of `task`.

    A `.seg.nrrd` is read by the names of its segments, if they have any; see `segment_names`.

    Raises:
        ImageError: There is no such file, its format is unknown, or it is damaged.
        DataError: It has several channels, or a value or segment that is no label of `task`.
    """
    volume = read(path)
    if suffix_of(path) == ".seg.nrrd":
        volume = _by_segments(volume, path, task)
    if volume.voxels.shape[0] != 1:
        raise DataError(
            f"has {volume.voxels.shape[0]} channels, but a label map has one",
            where=path,
            remedy="Give a label map with one layer, such as the NIfTI file, and not the scan",
        )
    known = {0: "background"} | {label.value: name for name, label in task.labels.items()}
    unknown = [value for value in np.unique(volume.voxels[0]).tolist() if value not in known]
    if unknown:
        shown = ", ".join(f"{value:g}" for value in unknown[:5]) + ", ..." * (len(unknown) > 5)
        raise DataError(
            f"holds the value {shown}, which is no label of task {task.name} ({known})",
            where=path,
            remedy="Give a label map of this task, or name the task it belongs to",
        )
    return Segmentation(volume.voxels[0].astype(label_map_dtype(task)), volume.grid, task)


def _by_segments(volume: Volume, path: Path, task: Task) -> Volume:
    segments = registry.load(this_package, "simpleitk").segments(path)
    if segment_names.are_by_value(volume.voxels, segments, task):
        return volume
    label_map = segment_names.label_map_of(volume.voxels, segments, task, where=path)
    return Volume(label_map[None], volume.grid)


def starts_as_dicom(path: Path) -> bool:
    """Tell whether a file has the mark that DICOM files carry after 128 bytes."""
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"
