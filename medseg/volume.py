"""A scan: its voxels, and the grid that says where in the patient they lie."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Bool, Integer, Shaped

from medseg.shapes import Affine, LabelMap, Shape, Spacing, Voxels

AxisOrder = tuple[tuple[int, bool], tuple[int, bool], tuple[int, bool]]
"""For each axis of the result: the source axis it comes from, and whether it is reversed."""

ORTHONORMAL_TOLERANCE: Final = 1e-4
"""Largest cosine between two axes of a grid that counts as perpendicular."""

_SAME_VOXEL: Final = 0.05
"""How far apart, in voxels, two centres may lie that count as one voxel's."""

_ROUNDING: Final = 1e-6
"""Of a voxel: rounding of affines must not decide which voxel a centre on a face lies in."""


@dataclass(frozen=True, eq=False)
class Grid:
    """Where voxels lie in the patient.

    Attributes:
        shape: Number of voxels along i, j, k.
        affine: Voxel indices to RAS+ world coordinates in millimetres, as the file has it.
        header: The file's own header, byte for byte, where its format has one worth keeping.
        trailing_axes: How many axes of length one the file has after k.
        tells_sides: False if the file does not say which side is left, and the affine assumes it.
    """

    shape: Shape
    affine: Affine
    header: bytes | None = None
    trailing_axes: int = 0
    tells_sides: bool = True

    @property
    def spacing_mm(self) -> Spacing:
        """Distance between voxel centres along i, j and k."""
        lengths = np.sqrt((self.affine[:3, :3] ** 2).sum(axis=0))
        return (float(lengths[0]), float(lengths[1]), float(lengths[2]))

    @property
    def voxel_ml(self) -> float:
        """Volume of a voxel in millilitres, also where the axes are not perpendicular."""
        return abs(float(np.linalg.det(self.affine[:3, :3]))) / 1000.0

    @property
    def shear(self) -> float:
        """The largest cosine between two axes: 0 where all are perpendicular."""
        directions = self.affine[:3, :3] / np.array(self.spacing_mm)
        return float(np.abs(directions.T @ directions - np.eye(3)).max())

    @property
    def is_orthonormal(self) -> bool:
        """Whether the axes are perpendicular to each other, within 1e-4."""
        return self.shear <= ORTHONORMAL_TOLERANCE

    def matches(self, other: "Grid", *, tolerance_mm: float = 1e-2) -> bool:
        """Tell whether every voxel of the two grids has the same place in the patient."""
        if self.shape != other.shape:
            return False
        corners = np.array([[i, j, k, 1.0] for i in (0, 1) for j in (0, 1) for k in (0, 1)])
        corners[:, :3] *= np.array(self.shape) - 1
        apart_mm = np.abs(corners @ (self.affine - other.affine).T)
        return bool(apart_mm.max() <= tolerance_mm)

    def shares_voxels_with(self, other: "Grid") -> bool:
        """Tell whether the voxels of one are those of the other, in any order, cut or padded."""
        change = np.linalg.inv(self.affine) @ other.affine
        whole = np.round(change)
        is_reordered = (np.abs(whole[:3, :3]).sum(axis=0) == 1).all() and np.linalg.det(whole) != 0
        drift = np.abs(change - whole) @ np.array([*other.shape, 1.0])
        return bool(is_reordered and drift.max() <= _SAME_VOXEL)


@dataclass(frozen=True, eq=False)
class Volume:
    """Voxels on their grid; channels come first."""

    voxels: Voxels
    grid: Grid

    def __post_init__(self) -> None:
        if self.voxels.shape[1:] != self.grid.shape:
            raise ValueError(
                f"voxels of shape {self.voxels.shape[1:]} do not fill a grid of {self.grid.shape}"
            )

    @property
    def affine(self) -> Affine:
        """Voxel indices to RAS+ world coordinates in millimetres."""
        return self.grid.affine

    @property
    def spacing_mm(self) -> Spacing:
        """Distance between voxel centres along i, j and k."""
        return self.grid.spacing_mm


def order_to_ras(affine: Affine) -> AxisOrder:
    """Say how to permute and reverse axes so that they point right, anterior, superior.

    Each world axis takes the voxel axis that runs along it most; the largest cosine is served
    first, so that an oblique grid gets the nearest orientation and no axis is used twice.
    """
    directions = affine[:3, :3] / np.sqrt((affine[:3, :3] ** 2).sum(axis=0))
    remaining = np.abs(directions)
    source = [0, 0, 0]
    for _ in range(3):
        world, voxel = np.unravel_index(int(remaining.argmax()), (3, 3))
        source[world] = int(voxel)
        remaining[world, :] = -1.0
        remaining[:, voxel] = -1.0
    first, second, third = ((axis, bool(directions[w, axis] < 0)) for w, axis in enumerate(source))
    return (first, second, third)


def reorder(
    voxels: Shaped[np.ndarray, "channels i j k"], order: AxisOrder
) -> Shaped[np.ndarray, "channels a b c"]:
    """Permute and reverse the axes of `voxels` as `order` says; the result is a view."""
    permuted = voxels.transpose(0, *(1 + axis for axis, _ in order))
    steps = tuple(slice(None, None, -1 if reverse else None) for _, reverse in order)
    return permuted[(slice(None), *steps)]


def inverse(order: AxisOrder) -> AxisOrder:
    """Return the order that undoes `order`."""
    position = {axis: (place, reverse) for place, (axis, reverse) in enumerate(order)}
    return (position[0], position[1], position[2])


def to_ras(volume: Volume) -> Volume:
    """Return `volume` with its axes in the order and direction nearest to RAS+.

    Voxel values are not touched and an oblique grid stays oblique.
    """
    order = order_to_ras(volume.affine)
    change = np.zeros((4, 4))
    change[3, 3] = 1.0
    for place, (axis, reverse) in enumerate(order):
        change[axis, place] = -1.0 if reverse else 1.0
        change[axis, 3] = volume.grid.shape[axis] - 1 if reverse else 0.0
    voxels = reorder(volume.voxels, order)
    grid = Grid(shape=_shape(voxels), affine=volume.affine @ change)
    return Volume(voxels=voxels, grid=grid)


def upright(grid: Grid) -> Grid:
    """Return the same voxels with their axes in the order and direction nearest to RAS+."""
    return to_ras(Volume(np.broadcast_to(np.uint8(0), (1, *grid.shape)), grid)).grid


def resampled_grid(grid: Grid, spacing_mm: Spacing) -> Grid:
    """Return the grid of `spacing_mm` that covers the same box as `grid`.

    The outer faces of the first and last voxels stay where they are, up to the rounding of the
    shape to whole voxels; every axis keeps at least one voxel.
    """
    extent_mm = np.array(grid.shape) * np.array(grid.spacing_mm)
    shape = np.maximum(1, np.round(extent_mm / np.array(spacing_mm))).astype(int)
    step = np.array(grid.shape) / shape
    change = np.diag([*step, 1.0])
    change[:3, 3] = (step - 1) / 2
    return Grid(shape=(int(shape[0]), int(shape[1]), int(shape[2])), affine=grid.affine @ change)


def nearest(
    label_map: LabelMap, source: Grid, target: Grid
) -> Integer[np.ndarray, "i_target j_target k_target"]:
    """Return the label of the voxel of `source` that each voxel centre of `target` lies in.

    What lies outside `source` becomes 0. A centre on the face between two voxels takes the later.
    """
    change = np.linalg.inv(source.affine) @ target.affine
    result = np.zeros(target.shape, dtype=label_map.dtype)
    along = [change[:3, axis, None] * np.arange(target.shape[axis]) for axis in range(3)]
    for i in range(target.shape[0]):  # one plane at a time, so that indices need little memory
        start = change[:3, 3] + along[0][:, i] + _ROUNDING
        centres = start[:, None, None] + along[1][:, :, None] + along[2][:, None, :]
        index = np.floor(centres + 0.5).astype(np.int64)
        limits = np.array(source.shape)[:, None, None]
        inside = ((index >= 0) & (index < limits)).all(axis=0)
        result[i][inside] = label_map[tuple(index[:, inside])]
    return result


def lies_inside(grid: Grid, box: Grid) -> Bool[np.ndarray, "i j k"]:
    """Tell of every voxel of `grid` whether its centre lies in a voxel of `box`."""
    return nearest(np.ones(box.shape, dtype=np.uint8), box, grid) > 0


def _shape(voxels: Voxels) -> Shape:
    return (voxels.shape[1], voxels.shape[2], voxels.shape[3])
