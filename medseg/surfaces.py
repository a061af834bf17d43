"""The surface of a mask as triangles: smooth, closed, and around the same volume as the mask.

Marching cubes (Lewiner 2003) around the mask, then smoothing that does not shrink (Taubin 1995),
then every vertex is moved along its normal by one distance until the enclosed volume is the
voxels' own. That distance is a small part of a voxel.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from jaxtyping import Float64, Integer

from medseg.shapes import Mask
from medseg.volume import Grid

_ROUNDS: Final = 15
"""Of smoothing; with more, thin parts are lost."""
_SHRINK: Final = 0.5
_SWELL: Final = 0.53
"""A little more than is shrunk, so that only what is rough goes."""
_CORRECTIONS: Final = 60
_LONGEST_STEP: Final = 0.1
"""Of a correction, in voxels; specks of a few voxels need several."""
_CLOSE_ENOUGH: Final = 1e-3
"""Of the volume."""


@dataclass(frozen=True, eq=False)
class Surface:
    """A closed surface; seen from outside, the vertices of a face go round against the clock.

    Attributes:
        vertices: In RAS+ millimetres.
        faces: Three vertices each.
    """

    vertices: Float64[np.ndarray, "vertices 3"]
    faces: Integer[np.ndarray, "faces 3"]


def surface_of(mask: Mask, grid: Grid) -> Surface:
    """Return the surface around `mask`; at the border of the image it is closed.

    Raises:
        ValueError: The mask is empty.
    """
    from skimage.measure import marching_cubes

    if not mask.any():
        raise ValueError("an empty mask has no surface")
    box = tuple(slice(max(0, at.min() - 1), at.max() + 2) for at in mask.nonzero())
    padded = np.pad(mask[box], 1).astype(np.float32)
    first = np.array([part.start - 1 for part in box])
    places, faces, _, _ = marching_cubes(padded, 0.5, gradient_direction="ascent")
    vertices = (places + first) @ grid.affine[:3, :3].T + grid.affine[:3, 3]
    mirrored = np.linalg.det(grid.affine[:3, :3]) < 0
    volume_mm3 = np.count_nonzero(mask) * grid.voxel_ml * 1000
    return _smoothed(vertices, faces[:, ::-1] if mirrored else faces, volume_mm3, grid)


def _smoothed(vertices: np.ndarray, faces: np.ndarray, volume_mm3: float, grid: Grid) -> Surface:
    import trimesh

    longest_mm = _LONGEST_STEP * (grid.voxel_ml * 1000) ** (1 / 3)
    mesh = trimesh.Trimesh(vertices, faces, process=False)
    smooth: Any = trimesh.smoothing.filter_taubin  # it has no types
    smooth(mesh, lamb=_SHRINK, nu=_SWELL, iterations=2 * _ROUNDS)
    for _ in range(_CORRECTIONS):
        missing_mm3 = volume_mm3 - mesh.volume
        if abs(missing_mm3) <= _CLOSE_ENOUGH * volume_mm3:
            break
        step_mm = np.clip(missing_mm3 / mesh.area, -longest_mm, longest_mm)
        mesh.vertices = mesh.vertices + mesh.vertex_normals * step_mm
    return Surface(np.array(mesh.vertices, dtype=np.float64), np.array(mesh.faces))
