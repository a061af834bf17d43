"""A scan made ready for an nnU-Net network, with the way back.

The axes of the file are taken from last to first, as nnU-Net's readers give them, and permuted as
its plans say; they are turned to RAS+ only where its reader does so. What is zero in all channels
is cut off around the rest.

Source: Isensee et al. 2021, nnU-Net, https://doi.org/10.1038/s41592-020-01008-z, supplement.
"""

import numpy as np

from medseg.data.preprocessing import Part, Prepared
from medseg.nnunet_bundle.normalisation import normalise
from medseg.nnunet_bundle.plans import Configuration
from medseg.nnunet_bundle.resampling import resample
from medseg.shapes import Affine, Box, Shape, Spacing, Voxels
from medseg.volume import AxisOrder, Volume, order_to_ras, reorder


def prepare(volume: Volume, configuration: Configuration, place: Box | None = None) -> Prepared:
    """Order axes, crop, normalise and resample a scan; then keep the part `place`, or all."""
    order = axis_order(volume.affine, configuration)
    voxels = reorder(volume.voxels, order)
    box = occupied(voxels)
    inside = voxels[(slice(None), *box)]
    spacing_mm = _float32(volume, order)
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


def _float32(volume: Volume, order: AxisOrder) -> Spacing:
    """Return the spacing along the network's axes as a file's header would round it."""
    i, j, k = (float(np.float32(volume.spacing_mm[axis])) for axis, _ in order)
    return (i, j, k)


def _shape(voxels: Voxels) -> Shape:
    return (voxels.shape[1], voxels.shape[2], voxels.shape[3])
