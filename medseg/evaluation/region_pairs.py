"""The masks of every region of a case, each cut to where the region is."""

from collections.abc import Collection, Mapping
from typing import Final

import numpy as np
from scipy import ndimage

from medseg.evaluation.pair import TOLERANCE_MM, Pair, require_one_shape
from medseg.segmentation import Segmentation
from medseg.shapes import LabelMap, Spacing

Box = tuple[slice, slice, slice]

_NOWHERE: Final[Box] = (slice(0, 0), slice(0, 0), slice(0, 0))


def pairs(reference: Segmentation, prediction: Segmentation) -> dict[str, Pair]:
    """Return the masks of each region of the reference's task.

    Args:
        reference: What is there; its task says which regions are scored.
        prediction: What was found, on the same grid.

    Raises:
        ValueError: The two differ in shape.
    """
    require_one_shape(reference.grid.shape, prediction.grid.shape)
    task = reference.task
    return of_label_maps(
        reference.label_map,
        prediction.label_map,
        regions={
            region: [task.labels[label].value for label in task.labels_of(region)]
            for region in task.region_names
        },
        spacing_mm=reference.grid.spacing_mm,
        tolerance_mm=task.tolerance_mm or TOLERANCE_MM,
        voxel_mm3=1000.0 * reference.grid.voxel_ml,
    )


def of_label_maps(
    reference: LabelMap,
    prediction: LabelMap,
    *,
    regions: Mapping[str, Collection[int]],
    spacing_mm: Spacing,
    tolerance_mm: float = TOLERANCE_MM,
    voxel_mm3: float | None = None,
) -> dict[str, Pair]:
    """Return the masks of each region.

    Args:
        reference: What is there.
        prediction: What was found, on the same grid.
        regions: The label values that each region is made of.
        spacing_mm: Distance between voxel centres along i, j and k.
        tolerance_mm: How far a surface may be off in the surface Dice.
        voxel_mm3: Volume of a voxel; the product of the spacing if absent.
    """
    boxes = _boxes(reference), _boxes(prediction)
    found = {}
    for region, values in regions.items():
        box = _around([known[value] for known in boxes for value in values if value in known])
        found[region] = Pair(
            np.isin(reference[box], list(values)),
            np.isin(prediction[box], list(values)),
            spacing_mm,
            tolerance_mm=tolerance_mm,
            image_shape=reference.shape,
            voxel_mm3=voxel_mm3,
        )
    return found


def _boxes(label_map: LabelMap) -> dict[int, Box]:
    """Return the smallest box that holds each label value that occurs."""
    found = ndimage.find_objects(label_map)
    return {value: box for value, box in enumerate(found, start=1) if box is not None}


def _around(boxes: list[Box]) -> Box:
    """Return the smallest box that holds all of `boxes`."""
    if not boxes:
        return _NOWHERE
    starts = np.min([[side.start for side in box] for box in boxes], axis=0)
    stops = np.max([[side.stop for side in box] for box in boxes], axis=0)
    i, j, k = (slice(int(a), int(b)) for a, b in zip(starts, stops, strict=True))
    return i, j, k
