"""A kernel of exponentials and nothing else: the floor of whatever computes as many."""

import torch
import triton
import triton.language as tl

BLOCK = tl.constexpr(1024)
EACH = 256
"""Exponentials that each element takes one after the other."""


@triton.jit
def _repeat(result, repeats):  # noqa: ANN001, ANN202  Triton gives them their types
    """Take powers of two, again and again."""
    place = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    x = place.to(tl.float32) * 1e-9
    for _ in range(repeats):
        x = tl.exp2(-x)
    tl.store(result + place, x)


def exponentials(count: int) -> torch.Tensor:
    """Compute about `count` of them on CUDA; next to nothing is read or written."""
    programs = max(1, count // (BLOCK.value * EACH))
    result = torch.empty(programs * BLOCK.value, device="cuda")
    _repeat[programs,](result, EACH)
    return result
