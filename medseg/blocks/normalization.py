"""Instance normalisation with its activation, in place and channels-last throughout.

Source: Ulyanov et al. 2016, Instance normalization, https://arxiv.org/abs/1607.08022; the backward
pass that starts from the activated output is that of Rota Bulò et al. 2018, In-place activated
batch norm, https://arxiv.org/abs/1712.02616
Differs from the reference code: one voxel is accepted, and normalised to 0; no weights, as in every
network here. On a processor compiled loops read and write each value once a pass; what they do not
take is worked through in slabs that stay in the cache.
"""

import math
from collections.abc import Iterator
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from medseg.blocks.axes import Features
from medseg.blocks.fused import voxels

Rows = Float[Tensor, "rows row"]
PerRow = Float[Tensor, " row"]

SLOPE = 0.01
"""What the leaky rectifier leaves of a negative value."""

EPSILON = 1e-5
"""Added to the variance."""

SLAB = 1 << 21
"""Values of one slab: 8 MB in float32, which an allocator reuses without asking the system."""


def normalize_activate_(x: Features) -> Features:
    """Normalise each feature of each case over the voxels, then rectify; `x` is overwritten."""
    if torch.is_grad_enabled() and x.requires_grad:
        result: Tensor = _NormalizeActivate.apply(x)
        return result
    _normalize_activate_(x)
    return x


def add_activate_(x: Features, residual: Features, *, normalize_residual: bool) -> Features:
    """Normalise `x`, add `residual`, normalised if asked, rectify; `x` may be overwritten."""
    if torch.is_grad_enabled() and (x.requires_grad or residual.requires_grad):
        result: Tensor = _AddActivate.apply(x, residual, normalize_residual)
        return result
    _add_activate(x, residual, x, normalize_residual=normalize_residual)
    return x


def normalize_groups(x: Features, norm: nn.GroupNorm) -> Features:
    """Apply the module, but to groups of one value as well, which a tiny image has."""
    return torch.group_norm(x, norm.num_groups, norm.weight, norm.bias, norm.eps)


def rows(x: Features) -> list[Rows]:
    """View each case as rows along k, the features of a voxel side by side.

    Raises:
        ValueError: They do not lie side by side.
    """
    voxels = x.permute(0, 2, 3, 4, 1)
    if not voxels.is_contiguous():
        raise ValueError("x must be in memory format channels_last_3d; call `contiguous` first")
    return list(voxels.view(len(x), math.prod(x.shape[2:4]), -1).unbind())


def slabs(*tensors: Rows) -> Iterator[list[Rows]]:
    """Yield the same few rows of each tensor; on an accelerator, all rows."""
    count, width = tensors[0].shape
    step = max(1, SLAB // width) if tensors[0].device.type == "cpu" else count
    for start in range(0, count, step):
        yield [t[start : start + step] for t in tensors]


class Moments:
    """Mean and inverse standard deviation of each feature of one case, laid out as one row."""

    def __init__(self, mean: PerRow, scale: PerRow) -> None:
        self.mean = mean
        self.scale = scale
        self.shift = -mean * scale

    def apply(self, slab: Rows, out: Rows | None = None) -> Rows:
        """Normalise a slab."""
        return torch.addcmul(self.shift, slab, self.scale, out=out)


def moments(case: Rows, features: int) -> Moments:
    """Measure the moments in one pass; deviations from a guess of the mean keep it exact."""
    wide = torch.promote_types(case.dtype, torch.float32)
    count = case.numel() // features
    repeats = case.shape[1] // features
    sample = case[:: max(1, len(case) // 16)].to(wide)
    guess = over_features(sample, features).div_(len(sample) * repeats).to(wide)
    if voxels.usable(case):
        mean, square = voxels.sums(case.view(-1), guess) / count
    else:
        mean, square = _sums(case, guess.repeat(repeats), features) / count
    scale = (square - mean.square()).clamp_(min=0).add_(EPSILON).rsqrt_()
    return Moments((guess + mean.to(wide)).repeat(repeats), scale.to(wide).repeat(repeats))


def _sums(case: Rows, guess: PerRow, features: int) -> Float[Tensor, "two features"]:
    """Add up the deviations from a guess, and their squares."""
    sums, squares = [], []
    for (slab,) in slabs(case):
        deviation = slab - guess
        sums.append(deviation.sum(0))
        squares.append(deviation.square_().sum(0))
    return torch.stack([over_features(torch.stack(part), features) for part in (sums, squares)])


def over_features(sums: Float[Tensor, "*slabs row"], features: int) -> Float[Tensor, " features"]:
    """Add up in double precision what belongs to the same feature."""
    return sums.reshape(-1, features).sum(0, dtype=torch.float64)


def _normalize_activate_(x: Tensor) -> list[Moments]:
    """Overwrite `x`, and return what it was normalised with."""
    measured = []
    for case in rows(x):
        m = moments(case, x.shape[1])
        if voxels.usable(case):
            scale, shift = (t[: x.shape[1]] for t in (m.scale, m.shift))
            voxels.scale_activate_(case.view(-1), scale, shift, SLOPE)
        else:
            for (slab,) in slabs(case):
                functional.leaky_relu_(m.apply(slab, slab), SLOPE)
        measured.append(m)
    return measured


def _add_activate(
    x: Tensor, residual: Tensor, out: Tensor, *, normalize_residual: bool
) -> tuple[list[Moments], list[Moments]]:
    """Write the rectified sum to `out`, and return what its parts were normalised with."""
    of_x, of_residual = [], []
    for case, other, result in zip(rows(x), rows(residual), rows(out), strict=True):
        of_x.append(moments(case, x.shape[1]))
        if normalize_residual:
            of_residual.append(moments(other, x.shape[1]))
        second = of_residual[-1] if normalize_residual else None
        if voxels.usable(case, other, result):
            _add_compiled(result, case, other, of_x[-1], second, x.shape[1])
        else:
            for a, b, c in slabs(case, other, result):
                of_x[-1].apply(a, c).add_(second.apply(b) if second is not None else b)
                functional.leaky_relu_(c, SLOPE)
    return of_x, of_residual


def _add_compiled(
    out: Rows, x: Rows, other: Rows, of_x: Moments, of_other: Moments | None, features: int
) -> None:
    """Write the rectified sum of two cases in one pass."""
    scale, shift = of_x.scale[:features], of_x.shift[:features]
    factor = torch.ones_like(scale) if of_other is None else of_other.scale[:features]
    if of_other is not None:
        shift = shift + of_other.shift[:features]
    voxels.add_activate(
        *(t.view(-1) for t in (out, x, other)),
        scale=scale,
        factor=factor,
        shift=shift,
        slope=SLOPE,
    )


class _Projection:
    """What must be taken from a gradient on its way back through a normalisation."""

    def __init__(self, scale: PerRow, features: int) -> None:
        self.scale = scale
        self.features = features
        self.sums: list[Tensor] = []
        self.products: list[Tensor] = []

    def add(self, gradient: Rows, normalized: Rows) -> None:
        """Take note of a slab; `normalized` is overwritten."""
        self.sums.append(gradient.sum(0, dtype=self.scale.dtype))
        self.products.append(normalized.mul_(gradient).sum(0))

    def finish(self, count: int) -> None:
        """Average over `count` voxels."""
        repeats = len(self.scale) // self.features
        mean, product = (
            (over_features(torch.stack(s), self.features) / count)
            .to(self.scale.dtype)
            .repeat(repeats)
            for s in (self.sums, self.products)
        )
        self.shift = -mean * self.scale
        self.slope = -product * self.scale

    def apply(self, gradient: Rows, normalized: Rows, out: Rows) -> None:
        """Write the gradient of the values before normalisation."""
        torch.addcmul(self.shift, gradient, self.scale, out=out)
        out.addcmul_(normalized, self.slope.to(normalized.dtype))


class _NormalizeActivate(torch.autograd.Function):
    """`normalize_activate_`, keeping nothing but its output."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        measured = _normalize_activate_(x)
        ctx.mark_dirty(x)
        ctx.save_for_backward(x, *(m.scale for m in measured))
        return x

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        output, *scales = ctx.saved_tensors
        gradient = gradient.contiguous(memory_format=torch.channels_last_3d)
        result = torch.empty_like(output)
        for g, o, r, scale in zip(rows(gradient), rows(output), rows(result), scales, strict=True):
            projection = _Projection(scale, output.shape[1])
            for a, b, c in slabs(g, o, r):
                c.copy_(torch.ops.aten.leaky_relu_backward(a, b, SLOPE, self_is_result=True))
                projection.add(c, functional.leaky_relu(b.to(scale.dtype), 1 / SLOPE))
            projection.finish(o.numel() // output.shape[1])
            for b, c in slabs(o, r):
                projection.apply(c, functional.leaky_relu(b, 1 / SLOPE), c)
        return result


class _AddActivate(torch.autograd.Function):
    """`add_activate_`, keeping both inputs and the output."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, residual: Tensor, normalize_residual: bool) -> Tensor:  # noqa: FBT001 - apply() passes by position
        output = torch.empty_like(x)
        of_x, of_residual = _add_activate(
            x, residual, output, normalize_residual=normalize_residual
        )
        ctx.measured = of_x, of_residual
        kept = [residual] if normalize_residual else []
        ctx.save_for_backward(output, x, *kept)
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        output, *inputs = ctx.saved_tensors
        gradient = gradient.contiguous(memory_format=torch.channels_last_3d)
        rectified = torch.empty_like(output)
        for g, o, r in zip(rows(gradient), rows(output), rows(rectified), strict=True):
            for a, b, c in slabs(g, o, r):
                c.copy_(torch.ops.aten.leaky_relu_backward(a, b, SLOPE, self_is_result=True))
        results = [
            _through_normalization(rectified, x, measured)
            for x, measured in zip(inputs, ctx.measured, strict=False)
        ]
        return results[0], results[1] if len(results) == 2 else rectified, None


def _through_normalization(gradient: Tensor, x: Tensor, measured: list[Moments]) -> Tensor:
    """Carry the gradient of the normalised values back to `x`."""
    result = torch.empty_like(x)
    for g, case, r, m in zip(rows(gradient), rows(x), rows(result), measured, strict=True):
        projection = _Projection(m.scale, x.shape[1])
        for a, b in slabs(g, case):
            projection.add(a, m.apply(b))
        projection.finish(case.numel() // x.shape[1])
        for a, b, c in slabs(g, case, r):
            projection.apply(a, m.apply(b).to(c.dtype), c)
    return result
