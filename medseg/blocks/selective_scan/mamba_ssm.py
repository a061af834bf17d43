"""Selective scan by the CUDA kernel of its authors, where their package `mamba_ssm` is installed.

Source: Gu & Dao 2023, Mamba, https://arxiv.org/abs/2312.00752
"""

import functools
import importlib
from importlib.util import find_spec
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

Sequences = Float[Tensor, "batch channels length"]
Shared = Float[Tensor, "batch groups states length"]
PerChannel = Float[Tensor, " channels"]

MOST_STATES = 256
"""Their kernel takes no more."""

INSTALL = (
    "mamba_ssm is missing, or was built without its kernel; run "
    "`MAMBA_KEEP_CUDA_BUILD=TRUE pip install mamba-ssm --no-build-isolation`"
)


def obstacle(u: Tensor) -> str | None:
    """Refuse other devices than CUDA, float64, and a Python without the kernel."""
    if u.device.type != "cuda":
        return f"it runs on CUDA, and the tensors are on {u.device}; move them"
    if u.dtype == torch.float64:
        return "it computes in float32, and float64 was given; use backend='reference'"
    if find_spec("mamba_ssm") is None or find_spec("selective_scan_cuda") is None:
        return INSTALL
    return None


def scan(
    u: Sequences,
    delta: Sequences,
    A: Float[Tensor, "channels states"],
    B: Shared,
    C: Shared,
    D: PerChannel | None,
    delta_bias: PerChannel | None,
    *,
    delta_softplus: bool,
) -> Sequences:
    """Hand over to their kernel.

    It wants the four sequences in one type, the widest of theirs here, and float32 for the rest.

    Raises:
        ValueError: There are more than 256 states.
    """
    if A.shape[1] > MOST_STATES:
        raise ValueError(
            f"mamba_ssm takes {MOST_STATES} states, not {A.shape[1]}; use backend='triton'"
        )
    interface = importlib.import_module("mamba_ssm.ops.selective_scan_interface")
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
