"""The surface of a mask as triangles, smooth and of the mask's own volume.

A mask is blurred by less than a voxel and its surface taken where the blurred mask has one value,
that at which the surface encloses the mask's volume. Blurring alone would shrink what is thin.

Source: marching cubes as in Lewiner et al. 2003, https://doi.org/10.1080/10867651.2003.10487582
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float32, Float64, Int64
from scipy import ndimage

from medseg.shapes import Mask
from medseg.volume import Grid

_BLUR: Final = 0.7  # voxels
_MARGIN: Final = 4  # voxels around what is filled, beyond which nothing is blurred
_CLOSE: Final = 1e-3  # of the volume
_MOST_STEPS: Final = 12


@dataclass(frozen=True, eq=False)
class Mesh:
    """Triangles around a volume.

    Attributes:
        points_mm: Corners, in RAS+ world coordinates.
        triangles: Three corners each, counter-clockwise as seen from outside.
    """

    points_mm: Float64[np.ndarray, "points 3"]
    triangles: Int64[np.ndarray, "triangles 3"]

    @property
    def volume_ml(self) -> float:
        """What the triangles enclose; negative if they were turned inside out."""
        if not len(self.triangles):
            return 0.0
        near = self.points_mm - self.points_mm.mean(axis=0)  # far from the origin, digits are lost
        a, b, c = (near[self.triangles[:, corner]] for corner in range(3))
        return float(np.einsum("ij,ij->", a, np.cross(b, c))) / 6000.0


def of_mask(mask: Mask, grid: Grid) -> Mesh:
    """Return the surface of `mask` on `grid`; without triangles if the mask is empty.

    It is closed, also where the mask reaches the image's border, and its volume is the mask's
    within 0.1 %, or as near as the shape allows.
    """
    if not mask.any():
        return Mesh(np.zeros((0, 3)), np.zeros((0, 3), dtype=np.int64))
    box = ndimage.find_objects(mask.astype(np.uint8))[0]
    blurred = ndimage.gaussian_filter(
        np.pad(mask[box], _MARGIN).astype(np.float32), _BLUR, mode="constant"
    )
    offset = np.array([part.start - _MARGIN for part in box])
    wanted_ml = float(mask.sum()) * grid.voxel_ml
    low, high = 0.0, float(blurred.max())
    best = _at(blurred, (low + high) / 2, offset, grid)
    for _ in range(_MOST_STEPS):
        middle = (low + high) / 2
        found = _at(blurred, middle, offset, grid)
        if abs(found.volume_ml - wanted_ml) < abs(best.volume_ml - wanted_ml):
            best = found
        if abs(best.volume_ml - wanted_ml) <= _CLOSE * wanted_ml:
            break
        low, high = (middle, high) if found.volume_ml > wanted_ml else (low, middle)
    return best


def _at(
    blurred: Float32[np.ndarray, "i j k"], level: float, offset: Int64[np.ndarray, " 3"], grid: Grid
) -> Mesh:
    from skimage.measure import marching_cubes

    points, triangles, _, _ = marching_cubes(blurred, level)
    affine = grid.affine
    points_mm = (points.astype(np.float64) + offset) @ affine[:3, :3].T + affine[:3, 3]
    mesh = Mesh(points_mm, triangles.astype(np.int64))
    return mesh if mesh.volume_ml >= 0 else Mesh(points_mm, mesh.triangles[:, ::-1].copy())
