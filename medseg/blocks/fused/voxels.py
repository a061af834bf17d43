"""Sums over the voxels of a case, and what is done to each of its values, in one pass each.

Here a case is all its values in a row, the features of a voxel side by side. Loops run over
periods, the fewest values that are whole voxels and whole registers; the few values behind the last
are left to torch.
"""

import itertools
import math
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from medseg.blocks.selective_scan import import_error
from medseg.blocks.selective_scan.cpu import threads

Case = Float[Tensor, " values"]
PerFeature = Float[Tensor, " features"]

KERNELS = "medseg.blocks.fused.kernels"

WIDTH = 16
"""Numbers of a register, as compiled."""

SHARE = 1 << 18
"""Values of one piece of work, at least: half a megabyte, a few microseconds."""


def usable(*tensors: Tensor) -> bool:
    """Whether compiled loops can take these: on the processor, in float32 or bfloat16, all alike.

    What is traced, or has no values, is left to torch, and so is everything where numba is broken.
    """
    plain = all(type(t) in (Tensor, nn.Parameter) and t.device.type == "cpu" for t in tensors)
    kinds = {t.dtype for t in tensors}
    if not plain or len(kinds) > 1 or not kinds <= {torch.float32, torch.bfloat16}:
        return False
    traced = torch.compiler.is_compiling() or torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]
    return not traced and import_error(KERNELS) is None


def sums(case: Case, guess: PerFeature) -> Float[Tensor, "two features"]:
    """Add up the deviations of each feature from a guess, and their squares, in float64."""
    from medseg.blocks.fused import kernels

    features = len(guess)
    period, periods, rest = _periods(case, features)
    repeated = _repeated(guess, period)
    bounds = _bounds(periods, period)
    parts = torch.zeros(len(bounds) + 1, 2, period, dtype=torch.float64)
    jobs = [
        partial(kernels.measure, array(case), part, array(repeated), *bound)
        for part, bound in zip(parts.numpy(), bounds, strict=False)
    ]
    _run(jobs)
    deviation = rest.double() - guess.double().repeat(len(rest) // features)
    parts[-1, 0, : len(rest)] = deviation
    parts[-1, 1, : len(rest)] = deviation.square()
    return parts.sum(0).view(2, -1, features).sum(1)


def scale_activate_(case: Case, scale: PerFeature, shift: PerFeature, slope: float) -> None:
    """Scale, shift and rectify each value in its place."""
    from medseg.blocks.fused import kernels

    period, periods, rest = _periods(case, len(scale))
    factors = [array(_repeated(t, period)) for t in (scale, shift)]
    call = partial(kernels.scale_activate, array(case), *factors, kernels.number(slope))
    _run([partial(call, *bound) for bound in _bounds(periods, period)])
    if len(rest):
        value = _scaled(rest, scale) + _like(shift, rest)
        rest.copy_(nn.functional.leaky_relu(value, slope))


def add_activate(
    out: Case,
    x: Case,
    other: Case,
    *,
    scale: PerFeature,
    factor: PerFeature,
    shift: PerFeature,
    slope: float,
) -> None:
    """Write x times `scale` and the other times `factor`, added up, shifted and rectified."""
    from medseg.blocks.fused import kernels

    period, periods, rest = _periods(x, len(scale))
    factors = [array(_repeated(t, period)) for t in (scale, shift, factor)]
    cases = [array(t) for t in (out, x, other)]
    call = partial(kernels.add_activate, *cases, *factors, kernels.number(slope))
    _run([partial(call, *bound) for bound in _bounds(periods, period)])
    if len(rest):
        value = _scaled(rest, scale) + _like(shift, rest)
        value += _scaled(_periods(other, len(scale))[2], factor)
        _periods(out, len(scale))[2].copy_(nn.functional.leaky_relu(value, slope))


def array(tensor: Tensor) -> Any:
    """Show the memory of a tensor to numba, which has no bfloat16: its bits."""
    tensor = tensor.detach()
    return (tensor.view(torch.int16) if tensor.dtype == torch.bfloat16 else tensor).numpy()


def _periods(case: Case, features: int) -> tuple[int, int, Tensor]:
    """Return the length of a period, how many there are, and the values behind the last."""
    period = math.lcm(features, WIDTH)
    periods = len(case) // period
    return period, periods, case[periods * period :]


def _repeated(per_feature: PerFeature, period: int) -> Tensor:
    return per_feature.float().repeat(period // len(per_feature))


def _like(per_feature: PerFeature, rest: Tensor) -> Tensor:
    return per_feature.float().repeat(len(rest) // len(per_feature))


def _scaled(rest: Tensor, scale: PerFeature) -> Tensor:
    return rest.float() * _like(scale, rest)


def _bounds(periods: int, period: int) -> list[tuple[int, int]]:
    """Share periods among pieces of work: few values make one, many four for each thread."""
    most = 4 * torch.get_num_threads()
    pieces = max(1, min(most, periods * period // SHARE))
    edges = [periods * n // pieces for n in range(pieces + 1)]
    return list(itertools.pairwise(edges))


def _run(jobs: list[Callable[[], object]] | list[partial[Any]]) -> None:
    threads.run(jobs, torch.get_num_threads())
