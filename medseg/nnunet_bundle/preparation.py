"""A scan made ready for an nnU-Net network, with the way back.

The axes of the file are taken from last to first, as nnU-Net's readers give them, and permuted as
its plans say; they are turned to RAS+ only where its reader does so. What is zero in all channels
is cut off around the rest.

Source: Isensee et al. 2021, nnU-Net, https://doi.org/10.1038/s41592-020-01008-z, supplement.
"""

import math
from typing import Final

import numpy as np

from medseg.data.preprocessing import Part, Prepared
from medseg.nnunet_bundle.normalisation import normalise
from medseg.nnunet_bundle.plans import Configuration
from medseg.nnunet_bundle.resampling import resample, resampling_bytes
from medseg.shapes import Affine, Box, Shape, Spacing, Voxels
from medseg.volume import AxisOrder, Grid, Volume, order_to_ras, reorder

FLOAT: Final = 4
DOUBLE: Final = 8


def prepare(volume: Volume, configuration: Configuration, place: Box | None = None) -> Prepared:
    """Order axes, crop, normalise and resample a scan; then keep the part `place`, or all."""
    order = axis_order(volume.affine, configuration)
    voxels = reorder(volume.voxels, order)
    box = occupied(voxels)
    inside = voxels[(slice(None), *box)]
    spacing_mm = _float32(volume.grid, order)
    target_mm = configuration.spacing_mm
    shape = resampled_shape(_shape(inside), spacing_mm, target_mm)
    data, back = configuration.data, configuration.probabilities
    separate = data.separate_axis(spacing_mm, target_mm)
    nearest = back.separate_axis(target_mm, spacing_mm) if back.order_z == 0 else None
    image = resample(
        normalise(inside, configuration),
        shape,
        order=data.order,
        separate=separate,
        order_z=data.order_z,
    )
    return Prepared(
        image=image if place is None else image[(slice(None), *place)],
        original=volume.grid,
        order=order,
        ras_shape=_shape(voxels),
        box=box,
        nearest_axis=nearest,
        part=None if place is None else Part(place, shape),
    )


def image_shape(grid: Grid, configuration: Configuration) -> Shape:
    """Return the voxels of the image that a scan on `grid` becomes if nothing is cut off."""
    order = axis_order(grid.affine, configuration)
    return resampled_shape(_turned(grid, order), _float32(grid, order), configuration.spacing_mm)


def preparing_bytes(grid: Grid, channels: int, configuration: Configuration) -> tuple[int, int]:
    """Return what the image of such a scan takes, and what making it takes beside that."""
    shape, voxels = image_shape(grid, configuration), math.prod(grid.shape)
    image, normalised = (FLOAT * channels * count for count in (math.prod(shape), voxels))
    deviations = DOUBLE * voxels  # of one channel, in float64
    source = _turned(grid, axis_order(grid.affine, configuration))
    if shape == source:
        return image, deviations
    one = FLOAT * math.prod(shape)
    stacked = image if channels > 1 else 0
    spline = max(0, resampling_bytes(source, shape) - one)
    return image, normalised + max(deviations - image, stacked, spline)


def axis_order(affine: Affine, configuration: Configuration) -> AxisOrder:
    """Say how a file's axes become those of the network."""
    ras = order_to_ras(affine)
    axes = ras if configuration.turned else ((0, False), (1, False), (2, False))
    first, second, third = (axes[2 - axis] for axis in configuration.transpose)
    return (first, second, third)


def resampled_shape(shape: Shape, spacing_mm: Spacing, target_mm: Spacing) -> Shape:
    """Return the number of voxels of `target_mm` that fill as much as `shape` of `spacing_mm`.

    A slice that is thin beside the target is one voxel; nnU-Net rounds it to none, and fails.
    """
    i, j, k = (
        max(1, round(spacing / target * length))
        for spacing, target, length in zip(spacing_mm, target_mm, shape, strict=True)
    )
    return (i, j, k)


def occupied(voxels: Voxels) -> Box:
    """Return the smallest box that holds every voxel that is not zero in all channels."""
    found = (voxels != 0).any(axis=0)
    edges = []
    for axis in range(3):
        others = tuple(other for other in range(3) if other != axis)
        places = np.flatnonzero(found.any(axis=others))
        edges.append(
            slice(int(places[0]), int(places[-1]) + 1)
            if len(places)
            else slice(0, found.shape[axis])
        )
    return (edges[0], edges[1], edges[2])


def _float32(grid: Grid, order: AxisOrder) -> Spacing:
    """Return the spacing along the network's axes as a file's header would round it."""
    i, j, k = (float(np.float32(grid.spacing_mm[axis])) for axis, _ in order)
    return (i, j, k)


def _turned(grid: Grid, order: AxisOrder) -> Shape:
    i, j, k = (grid.shape[axis] for axis, _ in order)
    return (i, j, k)


def _shape(voxels: Voxels) -> Shape:
    return (voxels.shape[1], voxels.shape[2], voxels.shape[3])
