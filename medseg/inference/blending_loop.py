"""The compiled loop that adds weighted patches up on the processor.

Every array is a column of all its values, so that a row of voxels is found by its number alone.
"""

from typing import no_type_check

import numpy as np

from medseg.blocks.selective_scan.cpu.kernels import compiled
from medseg.blocks.selective_scan.cpu.lanes import WIDTH, load, store


@compiled
@no_type_check
def multiply(scale, at, weight, here, share, there, length):
    """Fill a row of `scale` with `weight * share`, each from a place of its own."""
    whole = length - length % WIDTH
    for x in range(0, whole, WIDTH):
        store(scale, (at + x,), load(weight, (here + x,)) * load(share, (there + x,)))
    for x in range(whole, length):
        scale[at + x, 0] = weight[here + x, 0] * share[there + x, 0]


@compiled
@no_type_check
def add_row(total, there, part, here, scale, at, length):
    """Add a row of `part * scale` to `total`."""
    whole = length - length % WIDTH
    for x in range(0, whole, WIDTH):
        added = load(part, (here + x,)) * load(scale, (at + x,))
        store(total, (there + x,), load(total, (there + x,)) + added)
    for x in range(whole, length):
        total[there + x, 0] += part[here + x, 0] * scale[at + x, 0]


@compiled
@no_type_check
def add(total, extent, parts, count, weight, share, patch, places, within, size, first, last):
    """Add `part * weight * share` of each patch to its place, some planes along i of them.

    Plane after plane, so that the sums of one stay in the cache for all patches.

    Args:
        total: The sums: outputs, i, j, k.
        extent: Outputs and voxels of `total`.
        parts: The logits of the patches, of which `count` are added.
        count: See `parts`.
        weight: Of a voxel in a patch.
        share: Reciprocal of the sum of all weights of a voxel.
        patch: Voxels of a patch along i, j and k, then those of `share`.
        places: In `total` and in `share`, the first voxel of each patch.
        within: First voxel in the patch.
        size: Voxels along each axis.
        first: The plane to begin with, from 0 to `size[0]`.
        last: The plane to end before.
    """
    rows, length = size[1], size[2]
    scale = np.empty((count * rows * length, 1), np.float32)
    for plane in range(first, last):
        inside = ((within[0] + plane) * patch[1] + within[1]) * patch[2] + within[2]
        for n in range(count):
            i, j, k = places[1, n]
            there = ((i + plane) * patch[4] + j) * patch[5] + k
            for row in range(rows):
                at, here = (n * rows + row) * length, inside + row * patch[2]
                multiply(scale, at, weight, here, share, there + row * patch[5], length)
        for output in range(extent[0]):
            source = output * patch[0] * patch[1] * patch[2] + inside
            for n in range(count):
                i, j, k = places[0, n]
                there = ((output * extent[1] + i + plane) * extent[2] + j) * extent[3] + k
                for row in range(rows):
                    at, here = (n * rows + row) * length, source + row * patch[2]
                    add_row(total, there + row * extent[3], parts[n], here, scale, at, length)
