"""Selective scan on CUDA in Triton, fused: no state is kept but where chunks of time begin.

Source: Gu & Dao 2023, Mamba, section 3.3.2, https://arxiv.org/abs/2312.00752
Differs from the reference code: which lets one block of threads scan a channel from beginning to
end. Here chunks of time run side by side as well, because batch times channels does not fill a GPU:
the first pass finds what each chunk adds to the states, the second carries them from chunk to
chunk, the third computes the output. The backward pass does the same in reverse.

Gradients are the same in every run. Computation is in float32.
"""

from contextlib import AbstractContextManager
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

LOG2_E = 1.4426950408889634
STEPS = 256
"""Steps of a chunk."""
BLOCK = 8
"""Channels that a program scans side by side; they share what it reads of B and C."""
CHUNKS_AT_ONCE = 128
"""Chunks through which states are carried at once."""
MOST_PROGRAMS = 65535
"""Programs along the second and the third axis of CUDA's grid."""
PROGRAMS = 1024
"""Programs that fill a GPU; the backward pass makes no more by splitting groups of channels."""


def obstacle(given: Given) -> str | None:
    """Refuse what is not on CUDA, float64, a grid too large, and a Python without Triton."""
    u, B = given.u, given.B
    error = import_error("medseg.blocks.selective_scan.triton.kernels")
    if error is not None:
        return f"triton is missing or broken ({error}); run `pip install triton` on Linux"
    if u.device.type != "cuda" and not _interpreted():
        return f"it runs on CUDA, and the tensors are on {u.device}; move them"
    if max(_grid(u, B)[1:]) > MOST_PROGRAMS:
        return f"CUDA runs {MOST_PROGRAMS} samples or blocks of {BLOCK} channels; cut the batch"
    return refusal(given)


def _interpreted() -> bool:
    """Tell whether kernels run in Python: so they are tested without a GPU."""
    from triton import knobs

    return bool(knobs.runtime.interpret)


def scan(given: Given, *, delta_softplus: bool) -> Tensor:
    """Scan with kernels that are compiled when they are first called."""
    u, delta, A, B, C, D, delta_bias = given.completed()
    rates = A.float() * LOG2_E
    y, _ = _scan(u, delta, rates, B, C, D.float(), delta_bias.float(), delta_softplus)
    return y


@torch.library.custom_op("medseg::selective_scan_triton", mutates_args=())
def _scan(
    u: Tensor,
    delta: Tensor,
    rates: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor,
    delta_bias: Tensor,
    curved: bool,  # noqa: FBT001  an operator of torch takes its arguments by place
) -> tuple[Tensor, Tensor]:
    """Return y and the states where chunks begin; `rates` are those of powers of two."""
    from medseg.blocks.selective_scan.triton import kernels

    u, delta, rates, B, C, D, delta_bias = dense(u, delta, rates, B, C, D, delta_bias)
    y = torch.empty_like(u)
    with _device_of(u):
        boundary = _carried(u, u, delta, rates, B, delta_bias, curved=curved, reverse=False)
        kernels.scan_chunk[_grid(u, B)](
            y, boundary, u, delta, rates, B, C, D, delta_bias, *_sizes(u, B),
            CURVED=curved, BLOCK=BLOCK, STEPS=STEPS,
        )  # fmt: skip
    return y, boundary


def _device_of(u: Tensor) -> AbstractContextManager[Any]:
    """Launch where the tensors are: Triton launches where torch is."""
    return torch.cuda.device_of(u)  # type: ignore[no-untyped-call]  # torch gives it no types


@_scan.register_fake
def _(u: Tensor, _delta: Tensor, rates: Tensor, *_others: Any) -> tuple[Tensor, Tensor]:
    """Give the shapes alone."""
    return u.new_empty(u.shape), rates.new_empty(_shape_of_boundary(u, rates))


@torch.library.custom_op("medseg::selective_scan_triton_backward", mutates_args=())
def _scan_back(
    of_y: Tensor,
    boundary: Tensor,
    u: Tensor,
    delta: Tensor,
    rates: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor,
    delta_bias: Tensor,
    curved: bool,  # noqa: FBT001
) -> Seven:
    """Return the gradients of the seven tensors that were scanned."""
    from medseg.blocks.selective_scan.triton import kernels

    of_y, boundary = dense(of_y, boundary)
    u, delta, rates, B, C, D, delta_bias = dense(u, delta, rates, B, C, D, delta_bias)
    of_u, of_delta, of_rates = (torch.empty_like(t) for t in (u, delta, boundary))
    of_D, of_bias = boundary.new_empty((2, *boundary.shape[:3]))
    chunks, tiles, batch = _grid(u, B)
    groups = B.shape[1]
    splits = max(1, min(tiles // groups, PROGRAMS // (chunks * groups * batch)))
    of_B, of_C = boundary.new_zeros((2, splits, *B.shape))
    with _device_of(u):
        of_boundary = _carried(u, of_y, delta, rates, C, delta_bias, curved=curved, reverse=True)
        kernels.scan_chunk_back[chunks, groups * splits, batch](
            of_u, of_delta, of_rates, of_B, of_C, of_D, of_bias,
            boundary, of_boundary, of_y, u, delta, rates, B, C, D, delta_bias,
            *_sizes(u, B), splits, CURVED=curved, BLOCK=BLOCK, STEPS=STEPS,
        )  # fmt: skip
    of_rates, of_D, of_bias = (t.sum((0, 1)) for t in (of_rates, of_D, of_bias))
    of_rates /= LOG2_E
    return of_u, of_delta, of_rates, of_B.sum(0).to(B), of_C.sum(0).to(C), of_D, of_bias


differentiate(_scan, _scan_back)


def _carried(
    u: Tensor,
    first: Tensor,
    delta: Tensor,
    rates: Tensor,
    shared: Tensor,
    bias: Tensor,
    *,
    curved: bool,
    reverse: bool,
) -> Tensor:
    """Compute the state at the beginning of each chunk, or the gradient of the one at its end."""
    from medseg.blocks.selective_scan.triton import kernels

    (channels, states), grid = rates.shape, _grid(u, shared)
    chunks, _, batch = grid
    boundary = rates.new_zeros(_shape_of_boundary(u, rates))
    if chunks == 1:
        return boundary
    local, total = torch.empty_like(boundary), boundary.new_empty(boundary.shape[:3])
    kernels.summarise[grid](
        local, total, first, delta, rates, shared, bias, *_sizes(u, shared),
        CURVED=curved, REVERSE=reverse, BLOCK=BLOCK, STEPS=STEPS,
    )  # fmt: skip
    size = channels * states
    kernels.carry[-(-size // BLOCK), batch](
        boundary, local, total, rates, chunks, size, states,
        REVERSE=reverse, BLOCK=BLOCK, MANY=CHUNKS_AT_ONCE,
    )  # fmt: skip
    return boundary


def _grid(u: Tensor, shared: Tensor) -> tuple[int, int, int]:
    """Count chunks, tiles and samples."""
    (batch, channels, length), groups = u.shape, shared.shape[1]
    return -(-length // STEPS), groups * -(-(channels // groups) // BLOCK), batch


def _sizes(u: Tensor, shared: Tensor) -> tuple[int, int, int, int]:
    """Return the numbers of channels, states, steps and groups."""
    return u.shape[1], shared.shape[2], u.shape[2], shared.shape[1]


def _shape_of_boundary(u: Tensor, rates: Tensor) -> Shape:
    """Say how many states are kept."""
    batch, _, length = u.shape
    return batch, -(-length // STEPS), *rates.shape
