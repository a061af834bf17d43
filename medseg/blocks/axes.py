"""The three axes of a grid: lengths along them, and tokens on it."""

import math
from collections.abc import Callable, Sequence
from typing import Any

from jaxtyping import Float
from torch import Tensor

Grid = tuple[int, int, int]
"""Voxels or tokens along each axis."""

Stride = tuple[int, int, int]
"""What a step divides a grid by along each axis; also the lengths of a kernel or a patch."""

Features = Float[Tensor, "batch features i j k"]
Tokens = Float[Tensor, "batch i j k features"]

Embedded = Callable[[Tensor], Tensor]
"""A hook that may replace the tokens of the patch embedding, as masked pre-training does."""


def per_axis(value: object, name: str = "a length") -> Grid:
    """Repeat one number for each axis; three stay as they are.

    Args:
        value: One whole number above 0, or three.
        name: What the option is called.

    Raises:
        ValueError: It is something else.
    """
    lengths: Any = [value] * 3 if isinstance(value, int) else value
    three = isinstance(lengths, Sequence) and len(lengths) == 3
    if not three or not all(isinstance(n, int) and n > 0 for n in lengths):
        raise ValueError(f"{name} must be one whole number above 0, or three, got {value!r}")
    i, j, k = lengths
    return i, j, k


def product(*strides: Stride) -> Stride:
    """Multiply strides along each axis."""
    i, j, k = (math.prod(along) for along in zip(*strides, strict=True))
    return i, j, k


def coarser(grid: Grid, stride: Stride) -> Grid:
    """Divide a grid by a stride, rounded up."""
    i, j, k = (-(-n // s) for n, s in zip(grid, stride, strict=True))
    return i, j, k
