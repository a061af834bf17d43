"""Selective scan by the CUDA kernel of its authors, where their package `mamba_ssm` is installed.

Source: Gu & Dao 2023, Mamba, https://arxiv.org/abs/2312.00752
"""

import functools
import importlib
from typing import Any

import torch
from torch import Tensor

from medseg.blocks.selective_scan import Given, import_error, refusal

MOST_STATES = 256
"""Their kernel takes no more."""

INTERFACE = "mamba_ssm.ops.selective_scan_interface"

INSTALL = (
    "run `MAMBA_KEEP_CUDA_BUILD=TRUE pip install --force-reinstall mamba-ssm --no-build-isolation`"
)


def obstacle(given: Given) -> str | None:
    """Refuse what is not on CUDA, float64, many states, and a Python without the kernel."""
    u, states = given.u, given.A.shape[1]
    if u.device.type != "cuda":
        return f"it runs on CUDA, and the tensors are on {u.device}; move them"
    error = import_error("selective_scan_cuda") or import_error(INTERFACE)
    if error is not None:
        return f"its package is missing or broken ({error}); {INSTALL}"
    if states > MOST_STATES:
        return f"it takes {MOST_STATES} states, not {states}; use backend='triton'"
    return refusal(given)


def scan(given: Given, *, delta_softplus: bool) -> Tensor:
    """Hand over to their kernel.

    It wants the four sequences in one type, the widest of theirs here, and float32 for the rest.
    """
    u, delta, A, B, C, D, delta_bias = given
    interface = importlib.import_module(INTERFACE)
    sequences = (u, delta, B, C)
    widest = functools.reduce(torch.promote_types, (t.dtype for t in sequences))
    u_, delta_, B_, C_ = (t.to(widest).contiguous() for t in sequences)
    D_, bias = (None if t is None else t.float().contiguous() for t in (D, delta_bias))
    y: Any = interface.selective_scan_fn(
        u_,
        delta_,
        A.float().contiguous(),
        B_,
        C_,
        D=D_,
        z=None,
        delta_bias=bias,
        delta_softplus=delta_softplus,
        return_last_state=False,
    )
    return y.to(u.dtype)
