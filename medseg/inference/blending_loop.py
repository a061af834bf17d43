"""The compiled loops that add weighted patches up on the processor, and divide by the weights.

Every array has one axis, so that a row of voxels is found by its number alone. Of many rows that
are far apart the processor does not guess which come next, so the loops ask for them beforehand:
the time goes into memory and not into arithmetic.
"""

from typing import no_type_check

import numpy as np

from medseg.blocks.fused.lanes import fetch, fetch_some, fma, greater, prefetch, put, put_some
from medseg.blocks.selective_scan.cpu.kernels import compiled
from medseg.blocks.selective_scan.cpu.lanes import WIDTH, splat

AHEAD = 4
"""Rows of a patch that are asked for before they are added."""

ALL = (1 << WIDTH) - 1
"""The mask of sixteen voxels that are all there."""


@compiled
@no_type_check
def read(array, at, mask):
    """Read sixteen numbers, 0 where the mask has none."""
    return fetch(array, at) if mask == ALL else fetch_some(array, at, mask)


@compiled
@no_type_check
def write(array, at, mask, value):
    """Write the numbers that `read` reads."""
    if mask == ALL:
        put(array, at, value)
    else:
        put_some(array, at, mask, value)


@compiled
@no_type_check
def mask_of(voxels):
    """Return the mask of the first `voxels` of sixteen."""
    return ALL if voxels >= WIDTH else (1 << voxels) - 1


@compiled
@no_type_check
def weigh(rows, piece, count):
    """Return how much the voxels of a piece count in a row that counts so much."""
    at = piece * WIDTH
    return greater(count * fetch(rows.weights, at), fetch(rows.floors, at))


@compiled
@no_type_check
def add(total, extent, parts, patch, along_i, along_j, rows, into, within, size, first, last):
    """Add weighted patches that differ in their place along k alone, some planes along i of them.

    Args:
        total: The sums: outputs, i, j, k.
        extent: Outputs and voxels of `total`.
        parts: The logits of the patches.
        patch: Voxels of a patch along i, j and k.
        along_i: How much each plane of a patch counts.
        along_j: How much each row of it counts.
        rows: See `medseg.inference.blending_rows.Rows`.
        into: The first voxel in `total`.
        within: The first voxel in the patches; along k, `rows` says it.
        size: Planes and rows that are added.
        first: The plane to begin with, from 0 to `size[0]`.
        last: The plane to end before.
    """
    pieces = len(rows.owners)
    scale = np.empty(size[1] * pieces * WIDTH, np.float32)
    for plane in range(first, last):
        of_plane = along_i[within[0] + plane]
        for row in range(size[1]):
            count = splat(of_plane * along_j[within[1] + row])
            for n in range(pieces):
                put(scale, (row * pieces + n) * WIDTH, weigh(rows, n, count))
        inside = ((within[0] + plane) * patch[1] + within[1]) * patch[2]
        above = ((into[0] + plane) * extent[2] + into[1]) * extent[3] + into[2]
        ahead = (AHEAD * patch[2], AHEAD * extent[3])
        for output in range(extent[0]):
            here = output * patch[0] * patch[1] * patch[2] + inside
            there = output * extent[1] * extent[2] * extent[3] + above
            for row in range(size[1]):
                place, at = there + row * extent[3], here + row * patch[2]
                add_row(total, place, parts, at, rows, scale, row * pieces, ahead)


@compiled
@no_type_check
def add_row(total, there, parts, here, rows, scale, counted, ahead):
    """Add one row of all patches."""
    for begin in range(0, rows.length, WIDTH):
        place, mask = there + begin, mask_of(rows.length - begin)
        prefetch(total, place + ahead[1])
        value = read(total, place, mask)
        chunk = begin // WIDTH
        for n in range(rows.firsts[chunk], rows.firsts[chunk + 1]):
            part, at = parts[rows.owners[n]], here + rows.shifts[n]
            prefetch(part, at + ahead[0])
            counts = fetch(scale, (counted + n) * WIDTH)
            value = fma(read(part, at, rows.masks[n]), counts, value)
        write(total, place, mask, value)


@compiled
@no_type_check
def divide(total, extent, along_i, along_j, rows, into, first, last):
    """Divide sums by the sum of the weights of all patches, some planes along i of them.

    Args:
        total: The sums: outputs, i, j, k.
        extent: Outputs and voxels of `total`.
        along_i: Of each patch along i, how much each plane counts: 0 outside of it.
        along_j: The same along j.
        rows: Of all patches along k.
        into: The first voxel in `total`.
        first: The plane to begin with, from 0 to the planes of `along_i`.
        last: The plane to end before.
    """
    shares = np.empty(len(rows.firsts) * WIDTH, np.float32)
    volume = extent[1] * extent[2] * extent[3]
    for plane in range(first, last):
        for row in range(along_j.shape[1]):
            fill_shares(shares, along_i[:, plane], along_j[:, row], rows)
            there = ((into[0] + plane) * extent[2] + into[1] + row) * extent[3] + into[2]
            for output in range(extent[0]):
                place = there + output * volume
                for begin in range(0, rows.length, WIDTH):
                    at, mask = place + begin, mask_of(rows.length - begin)
                    prefetch(total, at + AHEAD * extent[3])
                    write(total, at, mask, read(total, at, mask) * fetch(shares, begin))


@compiled
@no_type_check
def fill_shares(shares, counts_i, counts_j, rows):
    """Fill a row with 1 over the weights of all patches."""
    shares[:] = 0
    for count_i in counts_i:
        for count_j in counts_j:
            if count_i * count_j > 0:
                add_weights(shares, rows, splat(count_i * count_j))
    one = splat(np.float32(1))
    for begin in range(0, rows.length, WIDTH):
        put(shares, begin, one / fetch(shares, begin))


@compiled
@no_type_check
def add_weights(shares, rows, count):
    """Add the weights of one row of all patches."""
    for begin in range(0, rows.length, WIDTH):
        value = fetch(shares, begin)
        chunk = begin // WIDTH
        for n in range(rows.firsts[chunk], rows.firsts[chunk + 1]):
            value = value + weigh(rows, n, count)
        put(shares, begin, value)
