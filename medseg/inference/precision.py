"""What a network computes in when it predicts: float32, or bfloat16 where it pays and agrees.

bfloat16 has the range of float32 and 8 bits of its digits. Products are added up in float32, and so
are the moments of every normalisation; what is rounded is what lies in memory.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

PrecisionChoice = Literal["auto", "float32", "bfloat16"]

Patches = Float[Tensor, "batch channels i j k"]
Logits = Float[Tensor, "batch outputs i j k"]


@dataclass(frozen=True, slots=True)
class Precision:
    """What to compute in, and why."""

    dtype: torch.dtype
    reason: str

    @property
    def name(self) -> str:
        """As it is asked for, such as `bfloat16`."""
        return str(self.dtype).removeprefix("torch.")


def choose(name: PrecisionChoice, device: torch.device) -> Precision:
    """Return the precision that was asked for; `auto` takes bfloat16 where `device` has it.

    What `auto` takes is a proposal: see `medseg.inference.settling`. bfloat16 can be asked for on
    any device, but is slower than float32 where it is emulated.
    """
    native = has_bfloat16(device)
    if name == "auto":
        if native:
            return Precision(torch.bfloat16, f"this {device.type} computes in bfloat16")
        return Precision(torch.float32, f"this {device.type} does not compute in bfloat16")
    if name == "bfloat16" and not native:
        return Precision(torch.bfloat16, f"asked for, though this {device.type} emulates it")
    return Precision(getattr(torch, name), "asked for")


def has_bfloat16(device: torch.device) -> bool:
    """Whether a device multiplies in bfloat16 by itself; others emulate it, which is slow."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16", "sve_bf16"))


def lowered(network: nn.Module, precision: torch.dtype) -> nn.Module:
    """Return a network that predicts in `precision`, and itself stays as it is.

    For float32 this is the network itself. Otherwise it is a copy in evaluation mode whose weights
    have been rounded once; weights that its parts want in float32 are shared, not copied. A network
    with a part that does not say which of its weights may be rounded (`ROUNDED`) computes under
    autocast, which is slower. Either takes images in float32, and returns logits in `precision` or
    better.

    Args:
        network: With its weights on the device where it will be used.
        precision: `torch.float32` or `torch.bfloat16`.
    """
    if precision == torch.float32:
        return network
    rounded: dict[int, object] = {}
    for module in network.modules():
        names = _rounded_weights(module)
        if names is None:
            return _Autocast(network, precision).eval()
        for name, weight in _weights(module).items():
            kept = weight if name not in names else _rounded(weight, precision)
            rounded[id(weight)] = kept
    return _Lowered(copy.deepcopy(network, rounded).eval(), precision)


def agreement(logits: Logits, reference: Logits, decide: Callable[[Tensor], Tensor]) -> float:
    """Return the part of the voxels that get the same label.

    Args:
        logits: Of one precision.
        reference: Of another.
        decide: Turns logits into labels, such as `largest`.
    """
    same = decide(logits.float()) == decide(reference.float())
    return float(same.double().mean())


def largest(logits: Logits) -> Tensor:
    """Decide for the label with the largest logit."""
    return logits.argmax(dim=1)


class _Lowered(nn.Module):
    """A network whose weights have been rounded."""

    def __init__(self, network: nn.Module, precision: torch.dtype) -> None:
        super().__init__()
        self.network = network
        self.precision = precision

    def forward(self, image: Patches) -> Logits:
        """Round the image as well."""
        logits: Tensor = self.network(image.to(self.precision))
        return logits


class _Autocast(nn.Module):
    """A network whose operations round what they are given."""

    def __init__(self, network: nn.Module, precision: torch.dtype) -> None:
        super().__init__()
        self.network = network
        self.precision = precision

    def forward(self, image: Patches) -> Logits:
        """Let torch decide what is computed in `precision`."""
        with torch.autocast(image.device.type, dtype=self.precision):
            logits: Tensor = self.network(image)
        return logits


def _weights(module: nn.Module) -> dict[str, Tensor]:
    """Return the numbers that a module itself holds."""
    held = [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]
    return {name: tensor for name, tensor in held if tensor.is_floating_point()}


def _rounded_weights(module: nn.Module) -> set[str] | None:
    """Name those of a module's own weights that may be rounded; None if nobody knows."""
    named: tuple[str, ...] | None = getattr(type(module), "ROUNDED", None)
    if named is not None:
        return set(named)
    own = set(_weights(module))
    return own if not own or _is_of_torch(type(module)) else None


def _is_of_torch(kind: type[nn.Module]) -> bool:
    """Whether it is a layer of torch, or made of one."""
    bases = [base for base in kind.__mro__ if base not in nn.Module.__mro__]
    return any(base.__module__.startswith("torch.nn.") for base in bases)


def _rounded(weight: Tensor, precision: torch.dtype) -> Tensor:
    """Round a weight, and keep what it is to its module; kernels are laid out as they are read."""
    low = weight.detach().to(precision)
    if low.ndim == 5:
        low = low.contiguous(memory_format=torch.channels_last_3d)
    is_parameter = isinstance(weight, nn.Parameter)
    return nn.Parameter(low, requires_grad=False) if is_parameter else low
