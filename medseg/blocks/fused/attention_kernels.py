"""The compiled loops of attention: a few queries at a time, against all keys of their window."""

from typing import no_type_check

import numpy as np

from medseg.blocks.fused.lanes import fetch, greater, highest, products, put
from medseg.blocks.selective_scan.cpu.kernels import compiled
from medseg.blocks.selective_scan.cpu.lanes import WIDTH, exp2, splat, total

QUERIES = 8
"""Queries whose logits are computed together."""

KEYS = 32
"""Keys whose logits are computed together."""

ZERO, ONE, LOWEST = np.float32(0), np.float32(1), np.float32(-3e38)

logits_of = products(QUERIES, KEYS // WIDTH)
mixture_of = products(QUERIES, 1)


@compiled
@no_type_check
def unpack(rows, qkv, at, step, tokens, depth, scale):
    """Copy the rows of one head of a window: queries, keys or values."""
    for t in range(tokens):
        for d in range(0, depth, WIDTH):
            put(rows, t * depth + d, fetch(qkv, at + t * step + d) * splat(scale))


@compiled
@no_type_check
def transpose(columns, rows, tokens, depth, width):
    """Lay the keys out so that those of one feature lie side by side."""
    for t in range(tokens):
        for d in range(depth):
            columns[d * width + t] = rows[t * depth + d]


@compiled
@no_type_check
def soften(logits, sums, row, at, width):
    """Turn the logits of one query into weights that are still to be divided by their sum."""
    top = splat(LOWEST)
    for column in range(0, width, WIDTH):
        top = greater(fetch(logits, at + column), top)
    most = splat(highest(top))
    added = splat(ZERO)
    for column in range(0, width, WIDTH):
        weight = exp2(fetch(logits, at + column) - most)
        put(logits, at + column, weight)
        added = added + weight
    sums[row] = ONE / total(added)


@compiled
@no_type_check
def mix(out, rows, sums, at, step, count, depth):
    """Write the mixed values of a few queries."""
    for r in range(count):
        for d in range(0, depth, WIDTH):
            put(out, at + r * step + d, fetch(rows, r * depth + d) * splat(sums[r]))


@compiled
@no_type_check
def attend(out, qkv, bias, heads, tokens, depth, width, scale, first, last):
    """Attend in some heads of some windows.

    Args:
        out: Written, (windows, tokens, heads, depth), flat.
        qkv: (windows, tokens, 3, heads, depth), flat.
        bias: Added to the logits in powers of two, (heads or 1, rows, width), flat; rows and width
            are the tokens and more, so that blocks of queries and of keys fill them. What is more
            must be very low.
        heads: How many there are.
        tokens: Of a window.
        depth: Features of a head, a multiple of 16.
        width: Of the bias.
        scale: Of the queries.
        first: The first of the heads of all windows, windows first.
        last: The one behind the last.
    """
    blocks = -(-tokens // QUERIES) * QUERIES
    queries = np.zeros(blocks * depth, np.float32)
    values, keys = np.zeros((2, width * depth), np.float32)
    logits = np.empty(QUERIES * width, np.float32)
    mixed, none = np.empty(QUERIES * depth, np.float32), np.zeros(depth, np.float32)
    sums = np.empty(QUERIES, np.float32)
    biases = bias.size // (blocks * width)
    inner = heads * depth
    for number in range(first, last):
        window, head = number // heads, number % heads
        at = window * tokens * 3 * inner + head * depth
        unpack(values, qkv, at + inner, 3 * inner, tokens, depth, ONE)
        transpose(keys, values, tokens, depth, width)
        unpack(values, qkv, at + 2 * inner, 3 * inner, tokens, depth, ONE)
        unpack(queries, qkv, at, 3 * inner, tokens, depth, scale)
        for start in range(0, tokens, QUERIES):
            shift = (head % biases * blocks + start) * width
            for column in range(0, width, KEYS):
                logits_of(
                    logits, column, width, bias, shift + column, width,
                    queries, start * depth, depth, keys, column, width, depth,
                )  # fmt: skip
            count = min(QUERIES, tokens - start)
            for row in range(count):
                soften(logits, sums, row, row * width, width)
            for d in range(0, depth, WIDTH):
                mixture_of(
                    mixed, d, depth, none, 0, 0, logits, 0, width, values, d, depth, tokens
                )  # fmt: skip
            place = ((window * tokens + start) * heads + head) * depth
            mix(out, mixed, sums, place, inner, count, depth)


def number(value: float) -> np.float32:
    """Make a number of what the loops take one of."""
    return np.float32(value)
