"""A sequential scan in float64 with gradients derived by hand, and inputs to compare it on."""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace

import numpy as np
import pytest
import torch
from torch import Tensor

from medseg.blocks.selective_scan import selective_scan


@dataclass
class Inputs:
    """The arguments of a scan, or their gradients."""

    u: Tensor
    delta: Tensor
    A: Tensor
    B: Tensor
    C: Tensor
    D: Tensor | None = None
    delta_bias: Tensor | None = None

    def named(self) -> dict[str, Tensor]:
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in values.items() if value is not None}

    def change(self, function: Callable[[Tensor], Tensor]) -> "Inputs":
        return replace(self, **{name: function(value) for name, value in self.named().items()})

    def scan(self, backend: str, *, softplus: bool = True) -> Tensor:
        return selective_scan(**self.named(), delta_softplus=softplus, backend=backend)

    def scan_and_gradients(
        self, backend: str, weights: Tensor, *, softplus: bool = True
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the output, and the gradients of its product with `weights`."""
        leaves = self.change(lambda t: t.detach().requires_grad_())
        y = leaves.scan(backend, softplus=softplus)
        y.backward(weights.to(y.dtype))
        return y.detach(), {name: leaf.grad for name, leaf in leaves.named().items()}


def positive_steps(given: Inputs) -> Inputs:
    """Change inputs so that Δ is positive without softplus; else the states would explode."""
    bias = None if given.delta_bias is None else given.delta_bias.abs()
    return replace(given, delta=given.delta.exp(), delta_bias=bias)


def make_inputs(
    batch: int = 2,
    channels: int = 6,
    length: int = 17,
    states: int = 16,
    groups: int = 1,
    *,
    step: float = 0.0,
    optional: bool = True,
    seed: int = 0,
) -> Inputs:
    """Draw inputs as a network at its beginning has them; `step` is added to every delta."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator)

    rate = -torch.arange(1.0, states + 1).expand(channels, states) * torch.exp(
        0.2 * draw(channels, states)
    )
    return Inputs(
        u=draw(batch, channels, length),
        delta=draw(batch, channels, length) - 2 + step,
        A=rate.contiguous(),
        B=draw(batch, groups, states, length),
        C=draw(batch, groups, states, length),
        D=draw(channels) if optional else None,
        delta_bias=draw(channels) - 1 if optional else None,
    )


def sequential(
    given: Inputs, weights: np.ndarray, *, softplus: bool = True
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Scan one step after the other, forth and back, in float64 and with numpy alone."""
    x = {name: value.detach().double().numpy() for name, value in given.named().items()}
    channels, groups = x["u"].shape[1], x["B"].shape[1]
    group = np.repeat(np.arange(groups), channels // groups)
    raw = x["delta"] + x.get("delta_bias", np.zeros(channels))[:, None]
    step = np.where(raw > 20, raw, np.log1p(np.exp(np.minimum(raw, 20)))) if softplus else raw
    slope = np.where(raw > 20, 1, 1 / (1 + np.exp(-raw))) if softplus else np.ones_like(raw)
    of = {name: np.zeros_like(value) for name, value in x.items()}
    length = raw.shape[2]
    B, C = x["B"][:, group], x["C"][:, group]
    states = [np.zeros((*raw.shape[:2], x["A"].shape[1]))]
    y = np.zeros_like(raw)
    for t in range(length):
        decay = np.exp(step[:, :, t, None] * x["A"])
        drive = step[:, :, t, None] * x["u"][:, :, t, None] * B[..., t]
        states.append(decay * states[-1] + drive)
        y[:, :, t] = (states[-1] * C[..., t]).sum(-1)
    carried = np.zeros_like(states[0])
    of_step = np.zeros_like(raw)
    for t in reversed(range(length)):
        decay = np.exp(step[:, :, t, None] * x["A"])
        of_state = carried + weights[:, :, t, None] * C[..., t]
        of_C = weights[:, :, t, None] * states[t + 1]
        of_B = of_state * step[:, :, t, None] * x["u"][:, :, t, None]
        for g in range(groups):
            of["C"][:, g, :, t] = of_C[:, group == g].sum(1)
            of["B"][:, g, :, t] = of_B[:, group == g].sum(1)
        through_B = (of_state * B[..., t]).sum(-1)
        of_exponent = of_state * states[t] * decay
        of["u"][:, :, t] = through_B * step[:, :, t]
        of_step[:, :, t] = through_B * x["u"][:, :, t] + (of_exponent * x["A"]).sum(-1)
        of["A"] += (of_exponent * step[:, :, t, None]).sum(0)
        carried = decay * of_state
    of["delta"] = of_step * slope
    if "delta_bias" in x:
        of["delta_bias"] = of["delta"].sum((0, 2))
    if "D" in x:
        y += x["D"][:, None] * x["u"]
        of["u"] += x["D"][:, None] * weights
        of["D"] = (weights * x["u"]).sum((0, 2))
    return y, of


def greatest(values: np.ndarray) -> np.ndarray:
    """Return the greatest size of each step, time being the last of three axes or more."""
    sizes = np.abs(values)
    steps = sizes.max(tuple(range(values.ndim - 1))) if values.ndim > 2 else sizes.max()
    return np.maximum(steps, sizes.max() / 100)


def agree(backend: str, given: Inputs, *, softplus: bool = True, tolerance: float = 2e-5) -> None:
    """Demand that a backend's output and gradients are those of the sequential scan.

    The tolerance is relative to the greatest value of each tensor, and where there is time, to that
    of each step: a wrong step must not hide behind a greater one. What is a hundredth of the
    greatest is not asked for more digits: there sums cancel.
    """
    generator = torch.Generator().manual_seed(99)
    weights = torch.randn(given.u.shape, generator=generator).to(given.u.dtype)
    y, gradients = given.scan_and_gradients(backend, weights, softplus=softplus)
    expected, expected_gradients = sequential(given, weights.double().numpy(), softplus=softplus)
    pairs = {"y": (y, expected)}
    pairs |= {f"of {n}": (g, expected_gradients[n]) for n, g in gradients.items()}
    for name, (found, wanted) in pairs.items():
        assert np.isfinite(wanted).all()
        far = np.abs(found.double().numpy() - wanted)
        close = far <= tolerance * greatest(wanted) + 1e-30
        assert close.all(), f"{name} is off by {far.max()}"


@pytest.fixture(scope="session")
def make() -> Callable[..., Inputs]:
    return make_inputs


@pytest.fixture(scope="session")
def positive() -> Callable[[Inputs], Inputs]:
    return positive_steps


@pytest.fixture(scope="session")
def agrees() -> Callable[..., None]:
    return agree
