"""Instance normalisation with its activation, in place and without leaving the channels-last layout.

Source: Ulyanov et al. 2016, Instance normalization, https://arxiv.org/abs/1607.08022; the backward pass that starts
from the activated output is that of Rota Bulò et al. 2018, In-place activated batch norm,
https://arxiv.org/abs/1712.02616
Differs from the reference code: one voxel is accepted, and normalised to 0; no weights, as in every network here.
"""

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

Features = Float[Tensor, "batch features i j k"]

SLOPE = 0.01
"""What the leaky rectifier leaves of a negative value."""

EPSILON = 1e-5
"""Added to the variance."""


def normalize_activate_(x: Features) -> Features:
    """Normalise each feature of each case over the voxels, then rectify; `x` is overwritten."""
    if torch.is_grad_enabled() and x.requires_grad:
        result: Tensor = _NormalizeActivate.apply(x)
        return result
    _normalize_(x)
    return F.leaky_relu_(x, SLOPE)


def add_activate_(x: Features, residual: Features, *, normalize_residual: bool) -> Features:
    """Normalise `x`, add `residual`, normalised too if asked, and rectify; `x` is overwritten."""
    if torch.is_grad_enabled() and (x.requires_grad or residual.requires_grad):
        result: Tensor = _AddActivate.apply(x, residual, normalize_residual)
        return result
    _normalize_(x)
    if normalize_residual:
        residual, _ = _normalized(residual)
    return F.leaky_relu_(x.add_(residual), SLOPE)


Statistics = list[tuple[Tensor, Tensor]]
"""Mean and inverse standard deviation of each case."""


def _normalize_(x: Tensor) -> Statistics:
    """Overwrite `x` with its normalised values."""
    statistics = []
    for case in x.split(1):
        mean = x.new_empty(0)
        scale = x.new_empty(0)
        normalized, mean, scale = torch.native_batch_norm(
            case, None, None, None, None, True, 0.0, EPSILON
        )
        case.copy_(normalized)
        statistics.append((mean, scale))
    return statistics


def _normalized(x: Tensor) -> tuple[Tensor, Statistics]:
    """Return the normalised values of `x` beside what they were computed with."""
    result = torch.empty_like(x)
    result.copy_(x)
    statistics = _normalize_(result)
    return result, statistics


def _gradient(gradient: Tensor, x: Tensor, statistics: Statistics) -> Tensor:
    """Carry the gradient of the normalised values back to `x`."""
    cases = [
        torch.ops.aten.native_batch_norm_backward(
            g, case, None, None, None, mean, scale, True, EPSILON, [True, False, False]
        )[0]
        for g, case, (mean, scale) in zip(gradient.split(1), x.split(1), statistics, strict=True)
    ]
    return cases[0] if len(cases) == 1 else torch.cat(cases)


class _NormalizeActivate(torch.autograd.Function):
    """`normalize_activate_`, keeping nothing but its output."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        statistics = _normalize_(x)
        F.leaky_relu_(x, SLOPE)
        ctx.mark_dirty(x)
        ctx.save_for_backward(x, *(scale for _, scale in statistics))
        return x

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        output, *scales = ctx.saved_tensors
        gradient = torch.ops.aten.leaky_relu_backward(gradient, output, SLOPE, True)
        normalized = F.leaky_relu(output, 1 / SLOPE)
        units = [(torch.zeros_like(scale), torch.ones_like(scale)) for scale in scales]
        result = _gradient(gradient, normalized, units)
        return result.mul_(torch.stack(scales)[:, :, None, None, None])


class _AddActivate(torch.autograd.Function):
    """`add_activate_`, keeping both inputs and the output."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, residual: Tensor, normalize_residual: bool) -> Tensor:  # noqa: FBT001 - apply() passes by position
        output, statistics = _normalized(x)
        statistics_of_residual: Statistics = []
        saved = [x]
        if normalize_residual:
            saved.append(residual)
            residual, statistics_of_residual = _normalized(residual)
        F.leaky_relu_(output.add_(residual), SLOPE)
        flat = [t for pair in statistics + statistics_of_residual for t in pair]
        ctx.save_for_backward(output, x, *saved[1:], *flat)
        ctx.normalize_residual = normalize_residual
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        output, x, *rest = ctx.saved_tensors
        gradient = torch.ops.aten.leaky_relu_backward(gradient, output, SLOPE, True)
        batch = len(x)
        residual = rest.pop(0) if ctx.normalize_residual else None
        pairs = list(zip(rest[::2], rest[1::2], strict=True))
        result = _gradient(gradient, x, pairs[:batch])
        if residual is not None:
            gradient = _gradient(gradient, residual, pairs[batch:])
        return result, gradient, None
