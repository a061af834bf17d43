"""The surface of a mask, and the distances from one surface to another."""

from typing import Final

import numpy as np
from jaxtyping import Float64
from scipy import ndimage, spatial

from medseg.shapes import Mask, Spacing

_CROWDED: Final = 0.1
"""Share of voxels on a surface above which a distance transform beats a k-d tree."""


def surface(mask: Mask) -> Mask:
    """Mark the voxels of `mask` that have a face neighbour outside it.

    Outside the image counts as outside the mask.
    """
    padded = np.pad(mask, 1)
    inside = mask.copy()
    for axis in range(3):
        for start in (0, 2):
            neighbour = [slice(1, -1)] * 3
            neighbour[axis] = slice(start, start + mask.shape[axis])
            inside &= padded[tuple(neighbour)]
    return mask & ~inside


def distances_mm(
    start: Mask, end: Mask, spacing_mm: Spacing
) -> Float64[np.ndarray, " start_voxels"]:
    """Measure how far each voxel of `start` is from the nearest voxel of `end`.

    Distances run between voxel centres and are exact. Both masks must hold a voxel.

    Raises:
        ValueError: A mask is empty.
    """
    if not (start.any() and end.any()):
        raise ValueError("an empty mask has no distance to anything; treat it before")
    apart = start & ~end
    if max(apart.sum(), end.sum()) > _CROWDED * start.size:
        measured = ndimage.distance_transform_edt(~end, sampling=spacing_mm)[apart]
    else:
        tree = spatial.KDTree(np.argwhere(end) * np.array(spacing_mm))
        measured = tree.query(np.argwhere(apart) * np.array(spacing_mm))[0]
    shared = np.zeros(int((start & end).sum()))
    return np.concatenate([shared, measured])
