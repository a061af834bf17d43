"""Selective scan: the recurrence of Mamba, by the fastest backend that is there.

    h_t = exp(Δ_t A) ⊙ h_{t-1} + Δ_t u_t B_t        Δ = softplus(delta + delta_bias)
    y_t = C_t · h_t + D u_t

Source: Gu & Dao 2023, Mamba, section 3.2, https://arxiv.org/abs/2312.00752

A module or package here is a backend, found by its name. It defines `obstacle(given)` and `scan`,
which is differentiable in every tensor and computes in float32 or better whatever it is given.
"""

import functools
import importlib
import sys
from typing import Any, NamedTuple, NoReturn, Protocol, cast, runtime_checkable

import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.library import CustomOpDef  # type: ignore[attr-defined]  # exported all the same

from medseg import registry

PREFERENCE = {
    "cuda": ("mamba_ssm", "triton", "reference"),
    "cpu": ("cpu", "reference"),
    "meta": ("cpu", "reference"),  # of meta tensors, only shapes are asked
}
"""What `auto` tries on a device, in this order; on any other it takes the reference."""

Seven = tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]
Shape = tuple[int | torch.SymInt, ...]  # what is exported may leave its sizes open


class Given(NamedTuple):
    """What is scanned, under the names and in the shapes of `selective_scan`."""

    u: Tensor
    delta: Tensor
    A: Tensor
    B: Tensor
    C: Tensor
    D: Tensor | None = None
    delta_bias: Tensor | None = None

    def tensors(self) -> list[Tensor]:
        """Return those that are there."""
        return [t for t in self if t is not None]

    def completed(self) -> Seven:
        """Return all, 0 for those that are not there."""
        D, bias = (self.u.new_zeros(self.u.shape[1]) if t is None else t for t in self[5:])
        return *self[:5], D, bias


@runtime_checkable
class Backend(Protocol):
    """What a backend's module offers."""

    def obstacle(self, given: Given) -> str | None:
        """Say why these cannot be scanned here and what to do; None if they can."""

    def scan(self, given: Given, *, delta_softplus: bool) -> Tensor:
        """Scan tensors whose shapes have been checked."""


def selective_scan(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None = None,
    delta_bias: Tensor | None = None,
    *,
    delta_softplus: bool = True,
    backend: str = "auto",
) -> Tensor:
    """Scan sequences with a state that chooses what it keeps.

    Args:
        u: Input, (batch, channels, length).
        delta: Step before softplus, (batch, channels, length).
        A: Rate of change of each state, (channels, states); negative, or the states explode.
        B: What enters the states, (batch, groups, states, length); the channels are split into
            `groups` equal runs that share it.
        C: What leaves them, (batch, groups, states, length).
        D: Weight of the input beside the states, (channels,).
        delta_bias: Added to `delta`, (channels,).
        delta_softplus: Whether the step is softplus of `delta`, the identity above 20, or `delta`.
        backend: A name, or `auto` for the first of `PREFERENCE` that can: derivatives in forward
            mode and float64 are for the reference alone.

    Returns:
        (batch, channels, length), of the type of `u`.

    Raises:
        ValueError: The shapes or devices do not fit, there is no such backend, or it cannot scan
            these tensors; the message says what to do.
        NotImplementedError: Second derivatives are asked of another backend than the reference.
    """
    given = Given(u, delta, A, B, C, D, delta_bias)
    _check_shapes(given)
    _check_kinds(given)
    chosen = _first(given) if backend == "auto" else _named(backend, given)
    return chosen.scan(given, delta_softplus=delta_softplus)


def names() -> list[str]:
    """Return the names of the backends, sorted."""
    return registry.names(sys.modules[__name__])


def load(name: str) -> Backend:
    """Return the backend called `name`.

    Raises:
        ValueError: There is no such backend; the message lists those there are.
    """
    return cast(Backend, sys.modules[_module(name)])


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]  # no import is traced
def _module(name: str) -> str:
    """Import a backend and return the name of its module."""
    return registry.load(sys.modules[__name__], name).__name__


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
def import_error(module: str) -> str | None:
    """Import a module, once in a process, and return what went wrong; None if nothing did."""
    return _import_error(module)


@functools.cache
def _import_error(module: str) -> str | None:
    try:
        importlib.import_module(module)
    except Exception as error:  # what was built for another machine raises anything
        return f"{type(error).__name__}: {error}"
    return None


def refusal(given: Given) -> str | None:
    """Say why a backend in float32 that has gradients alone cannot scan these; None if it can."""
    tensors = given.tensors()
    if any(t.dtype == torch.float64 for t in tensors):
        return "it computes in float32, and float64 was given; use backend='reference'"
    duals = [forward_ad.unpack_dual(t) for t in tensors]  # type: ignore[no-untyped-call]
    if any(dual.tangent is not None for dual in duals):
        return "it has no derivatives in forward mode; use backend='reference'"
    return None


def differentiate(scan: CustomOpDef, back: CustomOpDef) -> None:
    """Let one operator of torch compute the gradients of another.

    Args:
        scan: Takes the seven tensors, whether the step is softplus, and any other switches; returns
            y and what is kept.
        back: Takes the gradient of y, what was kept, the seven and the first switch; returns the
            gradients of the seven.
    """

    def keep(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
        ctx.curved, *others = inputs[7:]
        ctx.without = [None] * (1 + len(others))  # a switch has no gradient
        ctx.set_materialize_grads(False)  # nor has what is kept
        ctx.save_for_backward(output[1], *inputs[:7])

    def gradients(ctx: Any, of_y: Tensor, _of_kept: Tensor | None) -> tuple[Tensor | None, ...]:
        return (*back(of_y, *ctx.saved_tensors, ctx.curved), *ctx.without)

    scan.register_autograd(gradients, setup_context=keep)
    back.register_autograd(_refuse_second_derivatives)
    back.register_fake(_shapes_of_gradients)


def _shapes_of_gradients(_of_y: Tensor, _kept: Tensor, *given: Any) -> Seven:
    """Give the shapes alone."""
    u, delta, A, B, C, D, bias = (t.new_empty(t.shape) for t in given[:7])
    return u, delta, A, B, C, D, bias


def _refuse_second_derivatives(*_: Any) -> NoReturn:
    """Stand where the gradient of a gradient would be computed."""
    raise NotImplementedError("this scan has no second derivatives; use backend='reference'")


def dense(*tensors: Tensor) -> list[Tensor]:
    """Lay tensors out as compiled loops take them."""
    return [t.contiguous() for t in tensors]


def _first(given: Given) -> Backend:
    """Return the preferred backend among those that can scan these tensors."""
    for name in PREFERENCE.get(given.u.device.type, ()):
        backend = load(name)
        if backend.obstacle(given) is None:
            return backend
    return load("reference")


def _named(name: str, given: Given) -> Backend:
    """Return the backend called `name`, if it can scan these tensors."""
    backend = load(name)
    obstacle = backend.obstacle(given)
    if obstacle is not None:
        raise ValueError(f"backend {name!r} cannot be used: {obstacle}")
    return backend


def _check_shapes(given: Given) -> None:
    """Refuse shapes that do not fit together."""
    u, delta, A, B, C, D, delta_bias = given
    if u.ndim != 3 or 0 in u.shape:
        raise ValueError(f"u must be (batch, channels, length), none 0; it is {_shape(u)}")
    batch, channels, length = u.shape
    if A.ndim != 2 or len(A) != channels or A.shape[1] == 0:
        raise ValueError(f"A must be (channels, states) with {channels} channels, not {_shape(A)}")
    if B.ndim != 4 or B.shape[1] == 0 or channels % B.shape[1]:
        raise ValueError(
            "B must be (batch, groups, states, length), where the groups divide the "
            f"{channels} channels; it is {_shape(B)}"
        )
    shared = (batch, B.shape[1], A.shape[1], length)
    expected = [("delta", delta, (batch, channels, length)), ("B", B, shared), ("C", C, shared)]
    expected += [
        (n, t, (channels,)) for n, t in (("D", D), ("delta_bias", delta_bias)) if t is not None
    ]
    for name, tensor, shape in expected:
        if tuple(tensor.shape) != shape:
            raise ValueError(f"{name} must be {shape} to fit u and A, not {_shape(tensor)}")


def _check_kinds(given: Given) -> None:
    """Refuse integers, complex numbers and a mixture of devices."""
    for tensor in given.tensors():
        if not tensor.is_floating_point():
            raise ValueError(f"the scan takes real floating-point tensors, not {tensor.dtype}")
        if tensor.device != given.u.device:
            places = f"one tensor is on {tensor.device}, u on {given.u.device}"
            raise ValueError(f"{places}; move one of them")


def _shape(tensor: Tensor) -> tuple[int, ...]:
    """Return a shape that prints as numbers in brackets."""
    return tuple(tensor.shape)
