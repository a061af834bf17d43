"""The masks of every region of a case, each cut to where the region is."""

from typing import Final

import numpy as np
from scipy import ndimage

from medseg import regions
from medseg.evaluation.pair import TOLERANCE_MM, Pair
from medseg.segmentation import Segmentation

Box = tuple[slice, slice, slice]

_NOWHERE: Final[Box] = (slice(0, 0), slice(0, 0), slice(0, 0))


def pairs(reference: Segmentation, prediction: Segmentation) -> dict[str, Pair]:
    """Return the masks of each region of the reference's task.

    Args:
        reference: What is there; its task says which regions are scored.
        prediction: What was found, on the same grid.
    """
    task, shape = reference.task, reference.grid.shape
    boxes = _boxes(reference), _boxes(prediction)
    found = {}
    for region in task.region_names:
        box = _around(
            [
                known[task.labels[label].value]
                for known in boxes
                for label in task.labels_of(region)
                if task.labels[label].value in known
            ]
        )
        found[region] = Pair(
            regions.mask_of(reference.label_map[box], task, region),
            regions.mask_of(prediction.label_map[box], prediction.task, region),
            reference.grid.spacing_mm,
            tolerance_mm=task.tolerance_mm or TOLERANCE_MM,
            image_shape=shape,
        )
    return found


def _boxes(segmentation: Segmentation) -> dict[int, Box]:
    """Return the smallest box that holds each label value that occurs."""
    found = ndimage.find_objects(segmentation.label_map)
    return {value: box for value, box in enumerate(found, start=1) if box is not None}


def _around(boxes: list[Box]) -> Box:
    """Return the smallest box that holds all of `boxes`."""
    if not boxes:
        return _NOWHERE
    starts = np.min([[side.start for side in box] for box in boxes], axis=0)
    stops = np.max([[side.stop for side in box] for box in boxes], axis=0)
    i, j, k = (slice(int(a), int(b)) for a, b in zip(starts, stops, strict=True))
    return i, j, k
