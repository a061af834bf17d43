"""Selective scan on the processor, fused: no state is kept but where chunks of time begin.

Source: Gu & Dao 2023, Mamba, section 3.3.2, https://arxiv.org/abs/2312.00752
Differs from the reference code: which runs on CUDA alone. Here the channels are computed side by
side and time runs in a loop; numba compiles it when it is first called, which takes one core seven
seconds, and three more for the gradients, and keeps the result. The backward pass computes the
states again, chunk by chunk.

Gradients of one call are the same in every run with as many threads: what threads share is added
up in one order. Computation is in float32.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from medseg.blocks.selective_scan import (
    Given,
    Seven,
    Shape,
    dense,
    differentiate,
    import_error,
    refusal,
)
from medseg.blocks.selective_scan.cpu import threads


def obstacle(given: Given) -> str | None:
    """Refuse other devices than the processor, float64, and a Python without numba."""
    device = given.u.device
    if device.type not in ("cpu", "meta"):
        return f"it runs on the processor, and the tensors are on {device}; move them"
    error = import_error("medseg.blocks.selective_scan.cpu.kernels")
    if error is not None:
        return f"numba is of no use ({error}); if broken, `pip install --force-reinstall numba`"
    return refusal(given)


def scan(given: Given, *, delta_softplus: bool) -> Tensor:
    """Scan with compiled loops, on as many threads as torch uses."""
    tensors = given.completed()
    keep = torch.is_grad_enabled() and any(t.requires_grad for t in tensors)
    y, _ = _scan(*(t.float() for t in tensors), delta_softplus, keep)
    return y.to(given.u.dtype)


@torch.library.custom_op("medseg::selective_scan", mutates_args=(), device_types="cpu")
def _scan(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor,
    delta_bias: Tensor,
    curved: bool,  # noqa: FBT001  an operator of torch takes its arguments by place
    keep: bool,  # noqa: FBT001
) -> tuple[Tensor, Tensor]:
    """Return y and, if they are to be kept, the states where chunks begin."""
    y, boundaries = _outputs(u, A, B, keep=keep)
    _fill(y, boundaries, dense(u, delta, A, B, C, D, delta_bias), curved=curved)
    return y, boundaries


def _fill(y: Tensor, boundaries: Tensor, seven: Sequence[Tensor], *, curved: bool) -> None:
    """Compute y and, unless there is no place for any, the states where chunks begin."""
    from medseg.blocks.selective_scan.cpu import kernels

    u, delta, A, B, C, D, delta_bias = seven
    jobs: list[Callable[[], object]] = []
    for piece in _pieces(u, B.shape[1]):
        here, both = piece.sample, (piece.sample, piece.group)
        written = _arrays(y[here], boundaries[both][piece.tiles])
        given = _arrays(u[here], delta[here], A, B[both], C[both], D, delta_bias)
        jobs.append(partial(kernels.forward, *written, *given, *piece.channels, curved))
    threads.run(jobs, torch.get_num_threads())


OPERATOR = torch.ops.medseg.selective_scan
"""Under which torch knows the scan, for what counts operations."""


@_scan.register_fake
def _(u: Tensor, _delta: Tensor, A: Tensor, B: Tensor, *others: Any) -> tuple[Tensor, Tensor]:
    """Give the shapes alone."""
    return _outputs(u, A, B, keep=others[-1])


def _outputs(u: Tensor, A: Tensor, B: Tensor, *, keep: bool) -> tuple[Tensor, Tensor]:
    """Make place for y and the states where chunks begin."""
    return u.new_empty(u.shape), u.new_empty(_shape_of_boundaries(u, A, B, keep=keep))


@torch.library.custom_op("medseg::selective_scan_backward", mutates_args=(), device_types="cpu")
def _scan_back(
    of_y: Tensor,
    boundaries: Tensor,
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor,
    delta_bias: Tensor,
    curved: bool,  # noqa: FBT001
) -> Seven:
    """Return the gradients of the seven tensors that were scanned."""
    from medseg.blocks.selective_scan.cpu import kernels

    u, delta, A, B, C, D, delta_bias = dense(u, delta, A, B, C, D, delta_bias)
    of_u, of_delta = torch.empty_like(u), torch.empty_like(delta)
    # One row for each sample: what samples share is added up below, in one order.
    of_A, of_D, of_bias = (t.new_empty((len(u), *t.shape)) for t in (A, D, delta_bias))
    of_y, boundaries = dense(of_y, boundaries)
    needed = _shape_of_boundaries(u, A, B, keep=True)
    if boundaries.shape != needed:  # what was exported without gradients is given some after all
        boundaries = u.new_empty(needed)
        seven = (u, delta, A, B, C, D, delta_bias)
        _fill(torch.empty_like(u), boundaries, seven, curved=curved)
    B, C = dense(B.mT, C.mT)  # the loops back take all states of one step side by side
    of_B, of_C = torch.zeros_like(B), torch.zeros_like(C)
    jobs: list[Callable[[], object]] = []
    late: list[tuple[Tensor, Tensor]] = []
    for piece in _pieces(u, B.shape[1]):
        here, both = piece.sample, (piece.sample, piece.group)
        shared = [of_B[both], of_C[both]]
        if piece.tiles.start:  # another thread adds to these; they meet afterwards
            own = [torch.zeros_like(t) for t in shared]
            late += zip(shared, own, strict=True)
            shared = own
        written = _arrays(
            of_u[here], of_delta[here], of_A[here], *shared, of_D[here], of_bias[here]
        )
        kept = _arrays(boundaries[both][piece.tiles], of_y[here])
        given = _arrays(u[here], delta[here], A, B[both], C[both], D, delta_bias)
        jobs.append(partial(kernels.backward, written, *kept, *given, *piece.channels, curved))
    threads.run(jobs, torch.get_num_threads())
    for shared_sum, own_sum in late:
        shared_sum += own_sum
    of_B, of_C = dense(of_B.mT, of_C.mT)
    return of_u, of_delta, of_A.sum(0), of_B, of_C, of_D.sum(0), of_bias.sum(0)


differentiate(_scan, _scan_back)


@dataclass(frozen=True, slots=True)
class _Piece:
    """Tiles of one group of one sample, for one thread."""

    sample: int
    group: int
    tiles: slice
    channels: tuple[int, int]


def _pieces(u: Tensor, groups: int) -> list[_Piece]:
    """Cut all tiles into as many runs as there are threads, and these where a group ends."""
    from medseg.blocks.selective_scan.cpu.lanes import WIDTH

    batch, channels, _ = u.shape
    width = channels // groups
    tiles = -(-width // WIDTH)
    total = batch * groups * tiles
    parts = min(torch.get_num_threads(), total)
    edges = {total * part // parts for part in range(parts)} | set(range(0, total + 1, tiles))
    pieces = []
    for start, stop in pairwise(sorted(edges)):
        (sample, group), tile = divmod(start // tiles, groups), start % tiles
        base, last_tile = group * width, tile + stop - start
        run = (base + tile * WIDTH, base + min(last_tile * WIDTH, width))
        pieces.append(_Piece(sample, group, slice(tile, last_tile), run))
    return pieces


def _shape_of_boundaries(u: Tensor, A: Tensor, B: Tensor, *, keep: bool) -> Shape:
    """Say how many states are kept, by sample, group, tile and chunk."""
    from medseg.blocks.selective_scan.cpu.kernels import STEPS
    from medseg.blocks.selective_scan.cpu.lanes import WIDTH

    (batch, channels, length), groups = u.shape, B.shape[1]
    tiles = -(-(channels // groups) // WIDTH)
    return batch, groups, tiles, -(-length // STEPS) if keep else 0, A.shape[1], WIDTH


def _arrays(*tensors: Tensor) -> tuple[Any, ...]:
    """Show tensors to numba, which reads and writes their memory."""
    return tuple(t.detach().numpy() for t in tensors)
