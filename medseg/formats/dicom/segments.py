"""A DICOM segmentation as a label map: bits per segment, numbers per voxel, or probabilities.

Only tags that place frames and tell segments apart are read; none names a patient.
"""

import contextlib
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np

from medseg import formats
from medseg.errors import ImageError
from medseg.segment_names import Segment
from medseg.shapes import Voxels
from medseg.volume import Grid, Volume

_RAS_FROM_LPS: Final = np.diag([-1.0, -1.0, 1.0, 1.0])


def read(path: Path, *, threshold: float | None = None) -> Volume:
    """Read one channel with the numbers of the segments, or one per segment where they overlap.

    Args:
        path: A DICOM segmentation.
        threshold: Fractions from here on count as the segment; None takes whole ones alone.

    Raises:
        ImageError: The file is damaged, its frames are no regular stack, or it holds fractions and
            `threshold` is None.
    """
    with quiet(), _explained(path):
        import highdicom

        file = highdicom.seg.segread(path)
        if file.SegmentationType == "FRACTIONAL":
            found, masks = _fractional(file, threshold, path)
        else:
            found, masks = _whole(path)
    i, j, k = masks.shape[1:]
    affine = formats.as_affine(_RAS_FROM_LPS @ found.affine[:, [2, 1, 0, 3]], where=path)
    return Volume(masks, Grid((i, j, k), affine))


def segments(path: Path, layers: int) -> list[Segment]:
    """Return the segments that the file describes, as `read` lays them out in `layers` channels.

    Raises:
        ImageError: The file is damaged.
    """
    with quiet(), _explained(path):
        from pydicom import dcmread

        file = dcmread(path, stop_before_pixels=True)
        numbered = [(int(part.SegmentNumber), part) for part in file.SegmentSequence]
    shown = [(number, part) for number, part in numbered if number > 0]  # 0 is background
    return [
        Segment(
            key=str(part.get("TrackingID") or ""),
            title=str(part.get("SegmentLabel") or ""),
            value=number if layers == 1 else 1,
            layer=0 if layers == 1 else place,
            code=_code(part),
        )
        for place, (number, part) in enumerate(shown)
    ]


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep what pydicom and highdicom remark from users and logs: it may quote a header."""
    loggers = [logging.getLogger(name) for name in ("highdicom", "pydicom")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.CRITICAL + 1)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except (ImageError, ModuleNotFoundError):
        raise
    except Exception as error:
        kind = type(error).__name__
    else:
        return
    raise ImageError(
        f"is a DICOM segmentation that cannot be read ({kind}): it is damaged, or its frames are no"
        " regular stack",
        where=path,
        remedy="Export it anew, or convert it to NIfTI",
    ) from None


def _whole(path: Path) -> tuple[Any, Voxels]:
    from highdicom.seg import segread

    try:
        found = segread(path).get_volume(combine_segments=True)
        return found, found.array.transpose(2, 1, 0)[None]
    except RuntimeError:  # they overlap
        found = segread(path).get_volume(combine_segments=False)
        return found, found.array.transpose(3, 2, 1, 0)


def _fractional(file: Any, threshold: float | None, path: Path) -> tuple[Any, Voxels]:
    found = file.get_volume(combine_segments=False)
    fractions = found.array.transpose(3, 2, 1, 0)
    if threshold is None and not np.isin(fractions, (0, 1)).all():
        raise ImageError(
            "is a fractional DICOM segmentation: its voxels belong to a segment in part",
            where=path,
            remedy="Say from which fraction on they count: medseg import --threshold 0.5",
        )
    return found, (fractions >= (1 if threshold is None else threshold)).astype(np.uint8)


def _code(part: Any) -> tuple[str, ...]:
    """Return scheme and value of what a segment is, and of its modifier if there is one."""
    concepts = list(part.get("SegmentedPropertyTypeCodeSequence") or ())[:1]
    for concept in concepts[:1]:
        concepts += list(concept.get("SegmentedPropertyTypeModifierCodeSequence") or ())[:1]
    return tuple(f"{each.CodingSchemeDesignator}^{each.CodeValue}" for each in concepts)
