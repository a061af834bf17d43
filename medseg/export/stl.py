"""Surfaces for 3D printing and viewing: a folder with one binary STL file for each label found.

Vertices are in millimetres, with x to the left, y to the back and z up (LPS), as 3D Slicer reads
STL. The files are called as the labels of the task. What surface it is: `medseg.mesh`.
"""

from pathlib import Path
from typing import Final

import numpy as np

from medseg import files, mesh
from medseg.export import PLAIN, Settings, slicer
from medseg.mesh import Mesh
from medseg.segmentation import Segmentation

FORMAT: Final = "stl"
SUFFIX: Final = "_stl"
NEEDS_SERIES: Final = False

_LPS_FROM_RAS: Final = np.array([-1.0, -1.0, 1.0])
_HEADER: Final = b"medseg, research use only; millimetres, SPACE=LPS".ljust(80)
_TRIANGLE: Final = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("unused", "<u2")])


def write(path: Path, segmentation: Segmentation, settings: Settings = PLAIN) -> None:
    """Write a file for each label, and if asked for each region of several, into the folder `path`.

    A file of an earlier run whose label was not found now is removed.

    Raises:
        OutputError: It cannot be written, or what was read back differs.
    """
    task = segmentation.task
    files.make_folder(path)
    for segment in slicer.segments(task, with_regions=True):
        target = path / f"{segment.key}.stl"
        mask = slicer.mask_of(segment, segmentation.label_map, task)
        if mask.any() and (settings.regions or not segment.layer):
            files.write_verified(target, content(mesh.of_mask(mask, segmentation.grid)))
        else:
            with files.explained(target):
                target.unlink(missing_ok=True)


def content(surface: Mesh) -> bytes:
    """Return a surface as binary STL, in LPS."""
    corners = (surface.points_mm * _LPS_FROM_RAS)[surface.triangles]
    across = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    lengths = np.linalg.norm(across, axis=1, keepdims=True)
    triangles = np.zeros(len(corners), dtype=_TRIANGLE)
    triangles["normal"] = across / np.where(lengths > 0, lengths, 1)
    triangles["corners"] = corners
    return _HEADER + np.uint32(len(corners)).astype("<u4").tobytes() + triangles.tobytes()
