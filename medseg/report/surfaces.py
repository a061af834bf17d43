"""Surfaces of the labels: for the viewer as triangles, for paper as a picture.

Both are for the eye: a label that is large is drawn from coarser voxels.
"""

import base64
import gzip
import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from jaxtyping import Float64

from medseg import mesh
from medseg.evaluation import drawing
from medseg.mesh import Mesh
from medseg.report.embedding import around, coarser, larger, most_frequent
from medseg.segmentation import Segmentation
from medseg.volume import Volume, to_ras

MOST_VOXELS: Final = 400_000
"""Of the box around a label, from which on its voxels are taken together."""

VIEWS: Final = ("front", "left", "below")
_AXES: Final = {  # to the right, up, towards the viewer; in RAS+, and no mirror image
    "front": ((-1, 0, 0), (0, 0, 1), (0, 1, 0)),
    "left": ((0, -1, 0), (0, 0, 1), (-1, 0, 0)),
    "below": ((-1, 0, 0), (0, 1, 0), (0, 0, -1)),  # as axial slices are seen
}
_LIGHT: Final = (0.35, 0.45, 0.82)  # from the upper right, before the page
_AMBIENT: Final = 0.35
_AROUND: Final = 0.4  # opacity of what lies around another
_MZ3_MAGIC: Final = 0x5A4D
_HAS_FACES, _HAS_POINTS = 1, 2


@dataclass(frozen=True, eq=False)
class Surface:
    """The surface of one label.

    Attributes:
        title: Of the label, for people.
        colour: `#rrggbb`.
        number: Of the label, from 1 in the task's order.
        mesh: Its triangles.
        opacity: From 0 to 1; less where it lies around another one.
    """

    title: str
    colour: str
    number: int
    mesh: Mesh
    opacity: float = 1.0


def surfaces(segmentation: Segmentation) -> list[Surface]:
    """Return the surface of every label that is there; those inside others come first."""
    upright = to_ras(Volume(segmentation.label_map[None], segmentation.grid))
    task = segmentation.task
    found = []
    for number, (name, label) in enumerate(task.labels.items(), start=1):
        mask = upright.voxels[0] == label.value
        if mask.any():
            shown = _shown(Volume(mask[None], upright.grid))
            if len(shown.triangles):
                found.append(Surface(task.title_of(name), label.colour, number, shown))
    clear = [
        replace(one, opacity=_AROUND) if any(_lies_around(one, other) for other in found) else one
        for one in found
    ]
    return sorted(clear, key=lambda surface: -surface.opacity)


def _lies_around(one: Surface, other: Surface) -> bool:
    """Tell whether the box around `one` holds that around another surface."""
    (low, high), (inner_low, inner_high) = (
        (each.mesh.points_mm.min(axis=0), each.mesh.points_mm.max(axis=0)) for each in (one, other)
    )
    return one is not other and bool((low <= inner_low).all() and (high >= inner_high).all())


def encoded(surface: Mesh) -> str:
    """Return triangles as a compressed file of NiiVue's own format `mz3`, in base64.

    Source: https://github.com/neurolabusc/surf-ice/tree/master/mz3
    """
    header = np.array([_MZ3_MAGIC, _HAS_FACES | _HAS_POINTS], "<u2").tobytes()
    counts = np.array([len(surface.triangles), len(surface.points_mm), 0], "<u4").tobytes()
    triangles = surface.triangles.astype("<i4").tobytes()
    points = np.round(surface.points_mm, 2).astype("<f4").tobytes()
    whole = gzip.compress(header + counts + triangles + points, compresslevel=6, mtime=0)
    return base64.b64encode(whole).decode()


def picture(drawn: Sequence[Surface]) -> str:
    """Draw all surfaces from the front, the left and below, as PNG in base64."""
    figure = drawing.canvas(9.0, 3.0)
    figure.patch.set_alpha(0)
    for panel, view in zip(figure.subplots(1, len(VIEWS)), VIEWS, strict=True):
        panel.set_axis_off()
        panel.set_aspect("equal")
        _fill(panel, drawn, view)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return base64.b64encode(buffer.getvalue()).decode()


def _shown(label: Volume) -> Mesh:
    mask = label.voxels[0]
    box = around(mask, (0, 0, 0))
    factors = (1, 1, 1)
    while np.prod(coarser(label.grid, box, factors).shape) > MOST_VOXELS:
        factors = larger(factors, label.grid)
    rough = most_frequent(mask[box].astype(np.uint8), factors) > 0
    return mesh.of_mask(rough, coarser(label.grid, box, factors))


def _fill(panel: object, drawn: Sequence[Surface], view: str) -> None:
    from matplotlib.collections import PolyCollection
    from matplotlib.colors import to_rgb

    axes = np.array(_AXES[view], dtype=np.float64)
    corners = [surface.mesh.points_mm[surface.mesh.triangles] @ axes.T for surface in drawn]
    colours = [
        np.insert(_shaded(each, np.array(to_rgb(surface.colour))), 3, surface.opacity, axis=1)
        for each, surface in zip(corners, drawn, strict=True)
    ]
    if not corners:
        return
    every, shades = np.concatenate(corners), np.concatenate(colours)
    facing = _normals(every)[:, 2] > 0
    every, shades = every[facing], shades[facing]
    far_first = every[:, :, 2].mean(axis=1).argsort()
    polygons = PolyCollection(
        every[far_first][:, :, :2],
        facecolors=shades[far_first],
        edgecolors=[(*shade[:3], 0.3 * shade[3] ** 2) for shade in shades[far_first]],
        linewidths=0.3,
    )
    panel.add_collection(polygons)  # type: ignore[attr-defined]
    panel.autoscale_view()  # type: ignore[attr-defined]


def _normals(corners: Float64[np.ndarray, "triangles 3 3"]) -> Float64[np.ndarray, "triangles 3"]:
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    lengths = np.linalg.norm(normals, axis=1, keepdims=True)
    return normals / np.where(lengths > 0, lengths, 1.0)


def _shaded(
    corners: Float64[np.ndarray, "triangles 3 3"], colour: Float64[np.ndarray, " 3"]
) -> Float64[np.ndarray, "triangles 3"]:
    light = np.array(_LIGHT) / np.linalg.norm(_LIGHT)
    bright = _AMBIENT + (1 - _AMBIENT) * np.clip(_normals(corners) @ light, 0, 1)
    return np.clip(colour * bright[:, None] * 1.15, 0, 1)
