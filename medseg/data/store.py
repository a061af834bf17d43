"""Prepared training cases on disk, from which a patch is read without reading the volume.

A case is three files: the image and the label indices as compressed blocks (Blosc2), of which only
those that a patch touches are read, and the coordinates of labelled voxels, from which patches are
centred. Worker processes open the files by name, so that nothing large is sent to them and memory
does not grow with the data.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from jaxtyping import Float32, Integer, Shaped

from medseg import files
from medseg.data import case_files
from medseg.data.cases import Case, read_image, read_labels
from medseg.data.preprocessing import prepare, prepare_labels
from medseg.recipe import Plan
from medseg.shapes import Box, Image, Shape
from medseg.task import Task
from medseg.volume import Volume

FORM: Final = 3
"""Changed whenever cases are stored or prepared in another way."""

CENTRES_PER_LABEL: Final = 10_000

_BLOCK: Final = 32
"""Voxels along each axis that are compressed together: 128 KiB, which a core's cache holds."""

_CHUNK: Final = 64
_LEVEL: Final = 1
"""Of Zstandard. Level 5 takes ten times as long to write, for files a hundredth smaller."""

_IMAGE, _LABELS, _CENTRES, _NOTE = "image.b2nd", "labels.b2nd", "centres.npy", "case.json"


@dataclass(frozen=True)
class StoredCase:
    """One prepared case, read when asked for."""

    name: str
    folder: Path

    @property
    def shape(self) -> Shape:
        """Voxels along each axis."""
        i, j, k = self._open(_LABELS).shape
        return i, j, k

    @property
    def image(self) -> Image:
        """Normalised channels, whole."""
        return self._open(_IMAGE)[:]

    @property
    def labels(self) -> Shaped[np.ndarray, "i j k"]:
        """Label indices, whole; 0 is background."""
        return self._open(_LABELS)[:]

    def patch(
        self, start: Shape, shape: Shape
    ) -> tuple[Float32[np.ndarray, "channels i j k"], Shaped[np.ndarray, "i j k"]]:
        """Read the channels and label indices of a box, with zeros where it lies outside.

        Args:
            start: Its first voxel; may be negative.
            shape: Its voxels along each axis.
        """
        image, labels = self._open(_IMAGE), self._open(_LABELS)
        return crop(image, start, shape), crop(labels, start, shape)

    @property
    def centres(self) -> list[Integer[np.ndarray, "voxels 3"]]:
        """For each label in the case, coordinates of at most 10,000 of its voxels."""
        rows = np.load(self._file(_CENTRES), mmap_mode="r")
        return [rows[rows[:, 0] == label, 1:] for label in np.unique(rows[:, 0])]

    def forget(self) -> None:
        """Let the case be prepared anew by the next `build`."""
        self._file(_NOTE).unlink(missing_ok=True)

    def _file(self, kind: str) -> Path:
        return self.folder / f"{self.name}.{kind}"

    def _open(self, kind: str) -> Any:
        import blosc2

        # One thread: there is a worker for each core, or the network has them all. Not mapped into
        # memory: mapped pages would count as this process's.
        return blosc2.open(str(self._file(kind)), mode="r", dparams={"nthreads": 1})


def crop(voxels: Any, start: Shape, shape: Shape) -> Shaped[np.ndarray, "..."]:
    """Cut a box out of the last three axes of an array or a stored array, zeros outside of it."""
    leading = voxels.shape[:-3]
    result = np.zeros((*leading, *shape), dtype=voxels.dtype)
    source, target = [slice(None)] * len(leading), [slice(None)] * len(leading)
    for begin, length, extent in zip(start, shape, voxels.shape[-3:], strict=True):
        low = max(begin, 0)
        high = max(low, min(begin + length, extent))
        source.append(slice(low, high))
        target.append(slice(low - begin, high - begin))
    if all(side.stop > side.start for side in source[-3:]):
        result[tuple(target)] = voxels[tuple(source)]
    return result


Part = Callable[[Volume, Task, Plan], Box | None]
"""Says which part of a prepared scan is kept; None: all of it."""


def everything(_volume: Volume, _task: Task, _plan: Plan) -> None:
    """Keep all of a scan."""


def build(
    folder: Path,
    cases: tuple[Case, ...],
    task: Task,
    plan: Plan,
    part: Part = everything,
    *,
    on_case: Callable[[str], None],
) -> list[StoredCase]:
    """Prepare every case that `folder` does not hold as it is now.

    Of a scan, only `part` is stored, and whatever of it is labelled.

    A case is complete when its note is there, which is written last: a store whose making was
    interrupted is continued. The note tells what the case was made of: when its files, the task
    or what the plan says of preparation have changed, it is made anew.

    Raises:
        ImageError: A scan cannot be used.
        DataError: A label map is missing or contradicts the task.
        OutputError: The disk is full.
    """
    files.make_folder(folder)
    cut_by = (plan.patch, plan.inference.overlap) if task.outside else ()
    stored = []
    for case in cases:
        made_of = case_files.digest(case, task, FORM, plan.spacing_mm, plan.windows, *cut_by)
        entry = StoredCase(case.name, folder)
        note = folder / f"{case.name}.{_NOTE}"
        if _noted(note) != made_of:
            entry.forget()
            volume = read_image(case, task)
            labels = prepare_labels(read_labels(case, task, volume.grid), volume.grid, task, plan)
            box = _with_labels(part(volume, task, plan), labels)
            put(folder, case.name, prepare(volume, task, plan, box).whole, labels[box or ...])
            files.write_text(note, json.dumps({"made_of": made_of}) + "\n")
        on_case(case.name)
        stored.append(entry)
    return stored


def _with_labels(box: Box | None, labels: Shaped[np.ndarray, "i j k"]) -> Box | None:
    """Widen a part to hold all that is labelled."""
    if box is None or not labels.any():
        return box
    widened = []
    for axis, kept in enumerate(box):
        others = tuple(other for other in range(3) if other != axis)
        planes = np.flatnonzero(labels.any(axis=others))
        widened.append(slice(min(kept.start, int(planes[0])), max(kept.stop, int(planes[-1]) + 1)))
    i, j, k = widened
    return i, j, k


def put(folder: Path, name: str, image: Image, labels: Shaped[np.ndarray, "i j k"]) -> StoredCase:
    """Write a prepared case, each file whole or not at all.

    Raises:
        OutputError: The disk is full.
    """
    stored = StoredCase(name, folder)
    rows = _centres(labels)
    _write_blocks(folder / f"{name}.{_IMAGE}", image)
    _write_blocks(folder / f"{name}.{_LABELS}", labels)
    with files.replacing(folder / f"{name}.{_CENTRES}") as temporary, temporary.open("wb") as file:
        np.save(file, rows)
    return stored


def _write_blocks(path: Path, array: Shaped[np.ndarray, "..."]) -> None:
    import blosc2

    leading = (1,) * (array.ndim - 3)
    chunks = (*leading, *(min(_CHUNK, length) for length in array.shape[-3:]))
    blocks = (*leading, *(min(_BLOCK, length) for length in array.shape[-3:]))
    compression = {"codec": blosc2.Codec.ZSTD, "clevel": _LEVEL, "nthreads": 1}
    packed = blosc2.asarray(
        np.ascontiguousarray(array), chunks=chunks, blocks=blocks, cparams=compression
    )
    files.write_bytes(path, packed.to_cframe())


def _noted(note: Path) -> str | None:
    """Return what a case was made of; None if it is not there, or damaged."""
    try:
        return str(json.loads(note.read_text(encoding="utf-8"))["made_of"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _centres(labels: Shaped[np.ndarray, "i j k"]) -> Integer[np.ndarray, "voxels 4"]:
    """Return rows of label, i, j, k, thinned evenly where a label has many voxels."""
    rows = []
    for label in np.unique(labels[labels > 0]):
        voxels = np.argwhere(labels == label)
        step = -(-len(voxels) // CENTRES_PER_LABEL)
        thinned = voxels[::step]
        rows.append(np.column_stack([np.full(len(thinned), label, dtype=np.int64), thinned]))
    return np.concatenate(rows) if rows else np.empty((0, 4), dtype=np.int64)
