"""Selective scan, step by step: any device, any type, as slow as it is plain.

Source: Gu & Dao 2023, Mamba, https://arxiv.org/abs/2312.00752
Differs from the reference code: the steps are unbound once; indexing inside the loop makes the
backward pass quadratic in the length, because each index's gradient is a whole tensor.
"""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from medseg.blocks.selective_scan import Given

Sequences = Float[Tensor, "batch channels length"]
Shared = Float[Tensor, "batch groups states length"]
PerChannel = Float[Tensor, " channels"]


def obstacle(given: Given) -> str | None:  # noqa: ARG001  the same question for every backend
    """Refuse nothing."""
    return None


def scan(given: Given, *, delta_softplus: bool) -> Tensor:
    """Scan with one small operation after the other, in float64 if anything is, else float32."""
    u, delta, A, B, C, D, delta_bias = given
    precise = any(t.dtype == torch.float64 for t in given.tensors())
    dtype = torch.float64 if precise else torch.float32
    wide = [None if t is None else t.to(dtype) for t in (D, delta_bias)]
    step = _step(delta.to(dtype), wide[1], softplus=delta_softplus)
    y = _recur(u.to(dtype), step, A.to(dtype), B.to(dtype), C.to(dtype))
    if wide[0] is not None:
        y = y + wide[0][:, None] * u.to(dtype)
    return y.to(u.dtype)


def _step(delta: Sequences, bias: PerChannel | None, *, softplus: bool) -> Sequences:
    """Compute Δ."""
    shifted = delta if bias is None else delta + bias[:, None]
    return functional.softplus(shifted) if softplus else shifted


def _recur(
    u: Sequences, step: Sequences, A: Float[Tensor, "channels states"], B: Shared, C: Shared
) -> Sequences:
    """Run the recurrence; the channels of a group lie beside each other."""
    batch, groups, states, _ = B.shape
    by_group = (batch, groups, u.shape[1] // groups, 1, -1)
    rate = A.view(groups, -1, states)
    state = u.new_zeros(())
    outputs = []
    steps = (u.reshape(by_group), step.reshape(by_group), B[:, :, None], C[:, :, None])
    for u_t, step_t, B_t, C_t in zip(*(t.unbind(-1) for t in steps), strict=True):
        state = torch.exp(step_t * rate) * state + step_t * u_t * B_t
        outputs.append((state * C_t).sum(-1))
    return torch.stack(outputs, dim=-1).view(u.shape)
