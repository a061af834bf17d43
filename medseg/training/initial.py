"""Weights that a training begins with: another model's, or public ones from a file."""

from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from medseg import bundle as bundles
from medseg import networks, weights
from medseg.errors import UsageError
from medseg.weights import MODEL, Report


def begin_with(network: nn.Module, place: Path) -> Report:
    """Fill `network` with the weights in `place`.

    Args:
        network: A network of `medseg.networks`; its weights are overwritten in place.
        place: A bundle or run folder of medseg, a `.safetensors` file, or a file of torch
            (`.pt`, `.pth`), which is never unpickled beyond tensors and plain values.

    Returns:
        Which weights matched.

    Raises:
        UsageError: There is no such place, it holds no weights, or fewer than nine tenths of what
            they are meant to fill would be filled.
        ModelError: It is a bundle, and damaged.
    """
    state = read(place)
    try:
        if place.is_dir():
            return weights.load(network, state, MODEL)
        return networks.load_published(network, state)
    except ValueError as error:
        raise UsageError(
            str(error),
            where=place,
            remedy="Give weights of the same network, and options of its size "
            "('medseg networks' lists them)",
        ) from error


def read(place: Path) -> Mapping[str, Tensor]:
    """Read the weights in `place`, see `begin_with`.

    Raises:
        UsageError: There is no such place, or it holds no weights.
        ModelError: It is a bundle, and damaged.
    """
    if place.is_dir():
        return load_file(bundles.read(place).weights)
    try:
        if place.suffix == ".safetensors":
            return load_file(place)
        checkpoint = torch.load(place, map_location="cpu", weights_only=True)
        return weights.unwrapped(checkpoint)
    except (OSError, ValueError, TypeError, AttributeError, RuntimeError) as error:
        raise _unreadable(place, error) from error
    except (SafetensorError, UnpicklingError, EOFError) as error:
        raise _unreadable(place, error) from error


def _unreadable(place: Path, error: Exception) -> UsageError:
    if not place.exists():
        return UsageError("does not exist", where=place, remedy="Correct --init")
    reason = " ".join(str(error).split())
    return UsageError(
        f"holds no weights that can be read: {reason:.200}",
        where=place,
        remedy="Give a model folder of medseg, a .safetensors file, or a .pt file that holds "
        "nothing but weights",
    )
