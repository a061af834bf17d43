"""Weights for volumes made from weights for images.

An inflated layer answers a stack of equal slices as the original answers one slice.

Source: Carreira & Zisserman 2017, Quo vadis, action recognition?, section 2.4,
https://arxiv.org/abs/1705.07750
Differs from the reference code: the rules for windows and for other numbers of channels are ours.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional


def inflated_kernel(weight: Tensor, shape: Sequence[int], *, transposed: bool) -> Tensor | None:
    """Make a convolution's kernel of `shape` (out, in, i, j, k) from one of an image or a volume.

    The kernel of an image, (out, in, j, k), is repeated along i and divided by the repeats; that of
    a transposed convolution, whose stride is its kernel, is only repeated. Where the channels that
    come in are others, each gets an equal share of the sum over theirs.

    Returns:
        The kernel, or None if the sizes do not allow it.
    """
    if weight.ndim not in (4, 5) or len(shape) != 5:
        return None
    if weight.ndim == 4:
        repeats = 1 if transposed else shape[2]
        weight = weight[:, :, None].expand(-1, -1, shape[2], -1, -1) / repeats
    if weight.shape[1] != shape[1] and not transposed:
        weight = weight.sum(1, keepdim=True).expand(-1, shape[1], -1, -1, -1) / shape[1]
    return weight.contiguous() if weight.shape == torch.Size(shape) else None


def side_of_window(entries: int, axes: int) -> int | None:
    """Return the tokens along each side of a window whose table of biases has so many entries.

    Args:
        entries: Of the table.
        axes: 2 for a square window, 3 for a cubic one.

    Returns:
        The tokens, or None if no such window has as many.
    """
    steps = round(entries ** (1 / axes))
    return (steps + 1) // 2 if steps % 2 and steps**axes == entries else None


def resized_table(
    table: Float[Tensor, "their_entries heads"],
    theirs: tuple[int, int, int],
    ours: tuple[int, int, int],
) -> Float[Tensor, "entries heads"]:
    """Make the table of relative-position biases of one window from that of another.

    A table of an image is resized in the plane and repeated along the first axis, one of a volume
    is resized along all axes.

    Args:
        table: For each offset, first axis slowest.
        theirs: Tokens along each axis of the window of `table`.
        ours: The same of the window that it is made for.
    """
    if theirs == ours:
        return table
    heads = table.shape[1]
    i, j, k = (2 * w - 1 for w in ours)
    p, q, r = (2 * w - 1 for w in theirs)
    volume = table.t().reshape(1, heads, p, q, r)
    if p > 1:
        resized = functional.interpolate(volume, (i, j, k), mode="trilinear", align_corners=True)
    else:
        image = volume[:, :, 0]
        if (j, k) != (q, r):
            image = functional.interpolate(image, (j, k), mode="bicubic", align_corners=True)
        resized = image[:, :, None].expand(-1, -1, i, -1, -1)
    return resized.reshape(heads, -1).t().contiguous()
