"""A reference and its prediction on one grid, and what keeps two from being compared."""

from pathlib import Path
from typing import Final

import numpy as np

from medseg.errors import DataError
from medseg.segmentation import Segmentation
from medseg.volume import Grid, lies_inside, upright

MOST_SHEAR: Final = 1e-2
"""Largest cosine between two axes that are measured as perpendicular: half a degree.

Distances are then right to half a percent; volumes are exact.
"""

_RESAMPLE: Final = (
    "Predict on the scan the reference was drawn on, or bring it there with --resample"
)


def require_perpendicular(grid: Grid, path: Path) -> None:
    """Refuse a grid whose axes are sheared, as of a gantry-tilted CT: distances would be wrong.

    Raises:
        DataError: The cosine between two axes is above 0.01.
    """
    if grid.shear > MOST_SHEAR:
        degrees = np.degrees(np.arccos(min(grid.shear, 1.0)))
        raise DataError(
            f"has axes at an angle of {degrees:.1f} degrees, where distances need 90",
            where=path,
            remedy="Resample reference and prediction onto a grid with perpendicular axes first",
        )


def require_same_place(found: Grid, known: Grid, *, prediction: Path, reference: Path) -> None:
    """Refuse a prediction whose voxels are not those of its reference.

    Raises:
        DataError: The shapes or affines differ.
    """
    if known.matches(found):
        return
    if upright(known).matches(upright(found)):
        what = f"has its axes in another order or direction than its reference {reference}"
        remedy = "Bring it onto the reference's axes with --resample, which loses nothing here"
    elif known.shape != found.shape:
        what = f"has the shape {found.shape}, but its reference {reference} has {known.shape}"
        remedy = _RESAMPLE
    else:
        what = f"lies elsewhere in the patient than its reference {reference}: their affines differ"
        remedy = _RESAMPLE
    raise DataError(what, where=prediction, remedy=remedy)


def onto(found: Segmentation, known: Grid, path: Path) -> Segmentation:
    """Bring a prediction onto its reference's grid; each voxel takes the nearest label.

    Where the prediction's box does not reach, nothing was found. The reverse is an error, since
    what was predicted outside the reference's box would not be scored.

    Raises:
        DataError: The two boxes do not overlap, or the prediction has labels outside the
            reference's.
    """
    if known.matches(found.grid):
        return found
    inside = lies_inside(found.grid, known)
    if not inside.any() and not lies_inside(known, found.grid).any():
        raise DataError(
            "lies nowhere near its reference: the two boxes do not overlap",
            where=path,
            remedy="Check that both are of one patient and that no header was lost on the way",
        )
    lost_ml = np.count_nonzero(found.label_map[~inside]) * found.grid.voxel_ml
    if lost_ml:
        raise DataError(
            f"labels {lost_ml:.3g} mL outside its reference's box, which would not be scored",
            where=path,
            remedy="Cut the prediction to what the reference covers, if nothing is known beyond",
        )
    return found.on(known)
