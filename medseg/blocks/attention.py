"""Attention of windows with a shared bias, which keeps no attention map for the backward pass.

Source: Dao et al. 2022, FlashAttention, https://arxiv.org/abs/2205.14135, for the recomputed
backward pass
Differs from the reference code: torch's own kernel computes no gradient of the bias without keeping
every map; here the maps are computed again, a few windows at a time. On a processor the windows
attend in compiled loops.
"""

import math
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from medseg.blocks.fused import attention as compiled
from medseg.blocks.windows import Group, Windows

Qkv = Float[Tensor, "windows tokens three heads features"]
Bias = Float[Tensor, "heads tokens tokens"]

SEPARATE = -100.0
"""Added to the logit of two tokens that must not see each other."""

EXCLUDED = -1e30
"""The same where there is no bias: such a token is not seen at all."""

CHUNK = 1 << 22
"""Logits computed at once in the backward pass: 16 MB in float32."""


def attend(
    qkv: Qkv, bias: Bias | None, windows: Windows
) -> Float[Tensor, "windows tokens heads features"]:
    """Let the tokens of each window attend to each other."""
    if bias is None:  # then torch's own kernel keeps no map either
        return _attend(qkv, None, windows)
    if torch.is_grad_enabled() and (qkv.requires_grad or bias.requires_grad):
        result: Tensor = _Attend.apply(qkv, bias, windows)
        return result
    return _attend(qkv, bias, windows)


def _attend(qkv: Tensor, bias: Tensor | None, windows: Windows) -> Tensor:
    """Attend group by group, for a group shares one mask."""
    if compiled.usable(qkv):
        out = qkv.new_empty(qkv.shape[0], qkv.shape[1], *qkv.shape[3:])
        penalty = EXCLUDED if bias is None else SEPARATE
        for group in windows.groups:
            part = slice(group.start, group.stop)
            compiled.attend(out[part], qkv[part], bias, group.separate, penalty=penalty)
        return out
    mixed = []
    for group in windows.groups:
        q, k, v = qkv[group.start : group.stop].permute(2, 0, 3, 1, 4).unbind()
        mask = _mask(bias, group, q.dtype)
        mixed.append(
            functional.scaled_dot_product_attention(q, k, v, attn_mask=mask).transpose(1, 2)
        )
    return mixed[0] if len(mixed) == 1 else torch.cat(mixed)


def _mask(bias: Tensor | None, group: Group, dtype: torch.dtype) -> Tensor | None:
    """Return what torch's kernel wants: logits to add, or which pairs may see each other."""
    if bias is not None:
        return _masked(bias, group)[None].to(dtype)
    return None if group.separate is None else ~group.separate[None, None]


def _masked(bias: Tensor, group: Group) -> Tensor:
    """Add the mask of a group to the bias."""
    return bias if group.separate is None else bias + group.separate.to(bias.dtype) * SEPARATE


class _Attend(torch.autograd.Function):
    """`attend`, keeping queries, keys, values and its output."""

    @staticmethod
    def forward(ctx: Any, qkv: Tensor, bias: Tensor, windows: Windows) -> Tensor:
        ctx.windows = windows
        # A bias that asks for a gradient, though none is recorded here, keeps torch from its fused
        # kernel.
        output = _attend(qkv.detach(), bias.detach(), windows)
        ctx.save_for_backward(qkv, bias, output)
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        qkv, bias, output = ctx.saved_tensors
        of_qkv = torch.empty_like(qkv)
        of_bias = torch.zeros_like(bias, dtype=torch.promote_types(bias.dtype, torch.float32))
        step = max(1, CHUNK // bias.numel())
        for group in ctx.windows.groups:
            logits = _masked(bias, group)
            for start in range(group.start, group.stop, step):
                part = slice(start, min(start + step, group.stop))
                of_qkv[part], of_logits = _backward(qkv[part], logits, output[part], gradient[part])
                of_bias += of_logits
        return of_qkv, of_bias.to(bias.dtype), None


def _backward(qkv: Tensor, bias: Tensor, output: Tensor, gradient: Tensor) -> tuple[Tensor, Tensor]:
    """Return the gradients of a few windows: of `qkv`, and of the bias."""
    windows, heads = len(qkv), len(bias)
    scale = 1 / math.sqrt(qkv.shape[-1])
    q, k, v = qkv.permute(2, 0, 3, 1, 4).flatten(1, 2).contiguous().unbind()
    out, of_out = (
        t.to(qkv.dtype).transpose(1, 2).flatten(0, 1).contiguous() for t in (output, gradient)
    )
    logits = torch.bmm(q * scale, k.mT).view(windows, heads, *bias.shape[1:])
    weights = torch.softmax(logits.to(bias.dtype).add_(bias), dim=-1).flatten(0, 1)
    narrow = weights.to(qkv.dtype)
    of_logits = torch.bmm(of_out, v.mT).to(weights.dtype)
    of_logits.sub_((of_out * out).sum(-1, keepdim=True)).mul_(weights)
    of_bias = of_logits.view(windows, heads, *bias.shape[1:]).sum(0)
    of_logits = of_logits.to(qkv.dtype)
    parts = [
        torch.bmm(of_logits, k).mul_(scale),
        torch.bmm(of_logits.mT, q).mul_(scale),
        torch.bmm(narrow.mT, of_out),
    ]
    of_qkv = torch.stack(parts).view(3, windows, heads, *q.shape[1:]).permute(1, 3, 0, 2, 4)
    return of_qkv, of_bias
