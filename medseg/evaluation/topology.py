"""Of how many parts a mask is made, and how many holes it has."""

import numpy as np
from scipy import ndimage

from medseg.shapes import Mask


def components(mask: Mask) -> int:
    """Count the connected components; voxels that share a corner are connected."""
    if not mask.any():
        return 0
    return int(ndimage.label(mask, structure=np.ones((3, 3, 3)))[1])


def holes(mask: Mask) -> int:
    """Count the cavities: parts of the background that no path over faces leads out of.

    A tunnel is no cavity, since it is open.
    """
    outside = np.pad(~mask, 1, constant_values=True)
    return int(ndimage.label(outside)[1]) - 1
