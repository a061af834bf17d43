"""The loops themselves. An array of int16 holds the bits of bfloat16.

Features of a voxel lie side by side, so that numbers that are a period apart belong to the same
feature: the least common multiple of the features and of sixteen. What is left over at the end is
done by itself.
"""

from typing import no_type_check

import numpy as np

from medseg.blocks.fused.lanes import fetch, fma, greater, put
from medseg.blocks.selective_scan.cpu.kernels import compiled
from medseg.blocks.selective_scan.cpu.lanes import WIDTH, splat, store

ROWS = 128
"""Periods that are added up in float32; their sums are added up in float64."""

ZERO = np.float32(0)


@compiled
@no_type_check
def measure(x, sums, guess, start, stop):
    """Add up deviations from a guess, and their squares.

    Args:
        x: Numbers, a whole number of periods.
        sums: Written, float64, (2, period).
        guess: What is taken off each number, (period,).
        start: First period.
        stop: The one behind the last.
    """
    period = len(guess)
    sums[:] = 0.0
    partial = np.empty((2, WIDTH), np.float32)
    for block in range(start, stop, ROWS):
        end = min(block + ROWS, stop)
        for column in range(0, period, WIDTH):
            middle = fetch(guess, column)
            total, other, square, rest = splat(ZERO), splat(ZERO), splat(ZERO), splat(ZERO)
            for row in range(block, end - 1, 2):
                a = fetch(x, row * period + column) - middle
                b = fetch(x, (row + 1) * period + column) - middle
                total, other = total + a, other + b
                square, rest = fma(a, a, square), fma(b, b, rest)
            if (end - block) % 2:
                a = fetch(x, (end - 1) * period + column) - middle
                total, square = total + a, fma(a, a, square)
            store(partial, (0,), total + other)
            store(partial, (1,), square + rest)
            for lane in range(WIDTH):
                sums[0, column + lane] += partial[0, lane]
                sums[1, column + lane] += partial[1, lane]


@compiled
@no_type_check
def scale_activate(x, scale, shift, slope, start, stop):
    """Overwrite each number with that scaled, shifted and rectified."""
    period, steep = len(scale), splat(slope)
    for row in range(start, stop):
        for column in range(0, period, WIDTH):
            at = row * period + column
            value = fma(fetch(x, at), fetch(scale, column), fetch(shift, column))
            put(x, at, greater(value, value * steep))


@compiled
@no_type_check
def add_activate(out, x, other, scale, shift, factor, slope, start, stop):
    """Write the sum of two, each scaled, shifted and rectified."""
    period, steep = len(scale), splat(slope)
    for row in range(start, stop):
        for column in range(0, period, WIDTH):
            at = row * period + column
            value = fma(fetch(x, at), fetch(scale, column), fetch(shift, column))
            value = fma(fetch(other, at), fetch(factor, column), value)
            put(out, at, greater(value, value * steep))


def number(value: float) -> np.float32:
    """Make a number of what the loops take one of."""
    return np.float32(value)
