"""Pictures of what a network is shown and of what it makes of a held-out case.

They are drawn during training, hence plainly: slices with thin contours in the colours of the
task's labels, without words.
"""

import io
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import numpy as np
from jaxtyping import Bool, Integer, Shaped, UInt8

from medseg import files
from medseg.data.patches import Batch, Failed
from medseg.data.store import StoredCase
from medseg.shapes import LabelMap, Spacing
from medseg.task import Task

PATCHES: Final = 8
"""How many patches are drawn, in two rows."""

_EPOCHS: Final = (1.0, 1.5, 2.0, 3.0, 5.0, 7.0)
_SIDE: Final = 192
_WINDOW: Final = (1, 99)  # percentiles that become black and white

Plane = UInt8[np.ndarray, "rows columns 3"]
Outlined = list[tuple[str, Bool[np.ndarray, "i j k"]]]
"""Masks, each with its colour."""


def has_picture(epoch: int) -> bool:
    """Say whether an epoch, counted from 1, gets a picture: 18 of the first thousand do."""
    decade = 10 ** (len(str(epoch)) - 1)
    return epoch / decade in _EPOCHS


def draw_patches(
    patches: Iterable[Batch | Failed], task: Task, spacing_mm: Spacing, path: Path
) -> None:
    """Draw the first augmented patches of a training, each with the contours of its labels.

    A patch that cannot be made ends the picture: the training itself will say what is wrong.

    Raises:
        OutputError: The disk is full, or the place is not writable.
    """
    panels: list[Plane] = []
    for batch in patches:
        if isinstance(batch, Failed) or len(panels) >= PATCHES:
            break
        for image, labels in zip(batch.images.numpy(), batch.labels.numpy(), strict=True):
            panels.append(_panel(image[0], _by_number(labels, task), 2, spacing_mm))
    if panels:
        half = -(-len(panels[:PATCHES]) // 2)
        rows = [panels[:half], panels[half:PATCHES]]
        _write([row for row in rows if row], path)


def draw_prediction(
    case: StoredCase, found: LabelMap, task: Task, spacing_mm: Spacing, path: Path
) -> None:
    """Draw a held-out case in three planes: above its reference, below what was predicted.

    Args:
        case: With its reference.
        found: The label map that was predicted for it, in the task's values.
        task: Names colours.
        spacing_mm: Of the case's voxels.
        path: A PNG.

    Raises:
        OutputError: The disk is full, or the place is not writable.
    """
    reference = _by_number(case.labels, task)
    predicted = [(label.colour, found == label.value) for label in task.labels.values()]
    places = [_fullest(reference, axis) for axis in range(3)]
    image = case.image[0]
    _write(
        [
            [_panel(image, side, axis, spacing_mm, place) for axis, place in enumerate(places)]
            for side in (reference, predicted)
        ],
        path,
    )


def _by_number(labels: Integer[np.ndarray, "i j k"], task: Task) -> Outlined:
    return [(one.colour, labels == n) for n, one in enumerate(task.labels.values(), start=1)]


def _fullest(outlined: Outlined, axis: int) -> int:
    """Return the slice with most labelled voxels, the middle one if there are none."""
    others = tuple(other for other in range(3) if other != axis)
    labelled = np.sum([mask.sum(axis=others) for _, mask in outlined], axis=0)
    return int(labelled.argmax()) if labelled.any() else len(labelled) // 2


def _panel(
    image: Shaped[np.ndarray, "i j k"],
    outlined: Outlined,
    axis: int,
    spacing_mm: Spacing,
    place: int | None = None,
) -> Plane:
    """Draw the slice `place`, or the fullest one, across an axis, at its true proportions."""
    chosen = _fullest(outlined, axis) if place is None else place
    across, up = (other for other in range(3) if other != axis)
    wide, high = (image.shape[other] * spacing_mm[other] for other in (across, up))
    scale = _SIDE / max(wide, high)
    size = (max(1, round(wide * scale)), max(1, round(high * scale)))
    grey = _enlarged(_grey(np.take(image, chosen, axis)), size)
    drawn = np.repeat(grey[..., None], 3, axis=-1)
    for colour, mask in outlined:
        border = _border(_enlarged(np.take(mask, chosen, axis), size))
        drawn[border] = [int(colour[first : first + 2], 16) for first in (1, 3, 5)]
    framed = np.zeros((_SIDE, _SIDE, 3), np.uint8)
    framed[: size[1], : size[0]] = drawn
    return framed


def _grey(plane: Shaped[np.ndarray, "across up"]) -> UInt8[np.ndarray, "across up"]:
    low, high = np.percentile(plane, _WINDOW)
    return (np.clip((plane - low) / max(high - low, 1e-6), 0, 1) * 255).astype(np.uint8)


def _enlarged(
    plane: Shaped[np.ndarray, "across up"], size: tuple[int, int]
) -> Shaped[np.ndarray, "rows columns"]:
    """Return a slice as a picture: rows from top to bottom, each voxel many pixels."""
    across, up = (
        np.arange(pixels) * voxels // pixels
        for pixels, voxels in zip(size, plane.shape, strict=True)
    )
    return plane[np.ix_(across, up)].T[::-1]


def _border(mask: Bool[np.ndarray, "rows columns"]) -> Bool[np.ndarray, "rows columns"]:
    """Return the pixels of a mask that touch another pixel, or the edge of the picture."""
    padded = np.pad(mask, 1)
    inner = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return mask & ~inner


def _write(rows: list[list[Plane]], path: Path) -> None:
    from PIL import Image

    widest = max(len(row) for row in rows)
    empty = np.zeros((_SIDE, _SIDE, 3), np.uint8)
    full = [[*row, *[empty] * (widest - len(row))] for row in rows]
    whole = np.concatenate([np.concatenate(row, axis=1) for row in full])
    buffer = io.BytesIO()
    Image.fromarray(whole).save(buffer, format="PNG")
    files.make_folder(path.parent)
    files.write_bytes(path, buffer.getvalue())
