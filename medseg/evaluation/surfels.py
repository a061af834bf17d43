"""Surface elements between voxels, and their areas, after surface-distance.

Eight voxels meet at each corner of the grid. Which of them are in the mask decides which triangles
of the marching cubes cross between them; the element lies at the corner and has their area.

Source: DeepMind, surface-distance 0.1, `lookup_tables.py` and `metrics.py`, Apache-2.0,
https://github.com/google-deepmind/surface-distance
Differs from the reference code: its table of normals is kept without their signs, which no area
depends on, and to the half, since a mask and its complement have the same surface.
"""

from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
from jaxtyping import Float64

from medseg.evaluation import surface
from medseg.shapes import Mask, Spacing

_NORMALS: Final = """
000 111 111 220+220 111 202+202 111+111 111+222+400 111 111+111 202+202 111+222+400 220+220
111+222+400 111+222+400 400+400 111 022+022 111+111 040+111+222 111+111 004+111+222 111+111+111
111+111+222+222 111+111 022+022+111 111+202+202 022+111+202+333 111+220+220 022+111+220+333
111+111+222+400 111+222+400 111 111+111 022+022 040+111+222 111+111 111+202+202 022+022+111
022+111+202+333 111+111 111+111+111 004+111+222 111+111+222+222 111+220+220 111+111+222+400
022+111+220+333 111+222+400 220+220 040+111+222 040+111+222 040+040 111+220+220 111+202+220+333
040+111+111+222 040+111+222 111+220+220 040+111+111+222 111+202+220+333 040+111+222
220+220+220+220 111+220+220 111+220+220 220+220 111 111+111 111+111 111+220+220 022+022
004+111+222 022+022+111 022+111+220+333 111+111 111+111+111 111+202+202 111+111+222+400
040+111+222 111+111+222+222 022+111+202+333 111+222+400 202+202 004+111+222 111+202+202
111+202+220+333 004+111+222 004+004 004+111+111+222 004+111+222 111+202+202 004+111+111+222
202+202+202+202 111+202+202 111+202+220+333 004+111+222 111+202+202 202+202 111+111 111+111+111
022+022+111 040+111+111+222 022+022+111 004+111+111+222 022+022+022+022 022+022+111 111+111+111
111+111+111+111 004+111+111+222 111+111+111 040+111+111+222 111+111+111 022+022+111 111+111
111+222+400 111+111+222+222 022+111+202+333 040+111+222 022+111+220+333 004+111+222 022+022+111
022+022 111+111+222+400 111+111+111 111+202+202 111+111 111+220+220 111+111 111+111 111
"""
"""For each neighbourhood of 0 to 127 its triangles' normals along i, j and k, in eighths."""


@dataclass(frozen=True, eq=False)
class Surfels:
    """The elements of one surface.

    Attributes:
        distances_mm: How far each is from the nearest element of the other surface, ascending.
        areas_mm2: The area of each.
    """

    distances_mm: Float64[np.ndarray, " elements"]
    areas_mm2: Float64[np.ndarray, " elements"]

    def percentile_mm(self, percent: float) -> float:
        """Return the least distance within which `percent` of the area lie."""
        covered = np.cumsum(self.areas_mm2) / self.areas_mm2.sum()
        place = int(np.searchsorted(covered, percent / 100))
        return float(self.distances_mm[min(place, len(covered) - 1)])

    def area_within_mm2(self, distance_mm: float) -> float:
        """Return the area of the elements that are no farther than `distance_mm`."""
        return float(self.areas_mm2[self.distances_mm <= distance_mm].sum())


def between(reference: Mask, prediction: Mask, spacing_mm: Spacing) -> tuple[Surfels, Surfels]:
    """Measure from the reference's surface to the prediction's, and back.

    Raises:
        ValueError: A mask is empty.
    """
    codes = _neighbourhoods(reference), _neighbourhoods(prediction)
    borders = (codes[0] % 255) > 0, (codes[1] % 255) > 0
    areas_mm2 = _areas_mm2(spacing_mm)
    one, other = (
        _sorted(
            surface.distances_mm(borders[here], borders[1 - here], spacing_mm),
            np.concatenate(
                [
                    areas_mm2[codes[here][borders[here] & borders[1 - here]]],
                    areas_mm2[codes[here][borders[here] & ~borders[1 - here]]],
                ]
            ),
        )
        for here in (0, 1)
    )
    return one, other


def _sorted(
    distances_mm: Float64[np.ndarray, " elements"], areas_mm2: Float64[np.ndarray, " elements"]
) -> Surfels:
    order = np.lexsort((areas_mm2, distances_mm))
    return Surfels(distances_mm[order], areas_mm2[order])


def _neighbourhoods(mask: Mask) -> np.ndarray:
    """Return for each corner of the grid which of its eight voxels are in `mask`, as bits."""
    padded = np.pad(mask, 1).astype(np.uint8)
    codes = np.zeros([length + 1 for length in mask.shape], dtype=np.uint8)
    i, j, k = codes.shape
    for bit, (a, b, c) in enumerate(np.ndindex(2, 2, 2)):
        codes |= padded[a : a + i, b : b + j, c : c + k] << np.uint8(7 - bit)
    return codes


@cache
def _areas_mm2(spacing_mm: Spacing) -> Float64[np.ndarray, " 256"]:
    i, j, k = spacing_mm
    faces = np.array([j * k, i * k, i * j]) / 8
    half = [
        sum(
            float(np.linalg.norm(np.array([int(digit) for digit in normal]) * faces))
            for normal in triangles.split("+")
        )
        for triangles in _NORMALS.split()
    ]
    return np.array(half + half[::-1])
