"""Weights that a training begins with: another model's, or public ones from a file."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from medseg import bundle as bundles
from medseg import networks, weights
from medseg.errors import UsageError
from medseg.weights import MODEL, Report


def is_public(place: Path) -> bool:
    """Return whether `place` is a file of weights, and no model of medseg."""
    return not place.is_dir()


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
        if not is_public(place):
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
    if not is_public(place):
        return bundles.read(place).read_weights()
    if not place.exists():
        raise UsageError("does not exist", where=place, remedy="Correct --init")
    try:
        if place.suffix == ".safetensors":
            return load_file(place)
        return weights.unwrapped(_unpickled(place))
    except (OSError, ValueError, TypeError, AttributeError, SafetensorError) as error:
        reason = " ".join(str(error).split())
        raise UsageError(
            f"holds no weights that can be read: {reason:.200}",
            where=place,
            remedy="Give a model folder of medseg, a .safetensors file, or a .pt file that holds "
            "nothing but weights",
        ) from error


def _unpickled(place: Path) -> Any:
    """Read a file of torch.

    Raises:
        ValueError: It is none, or holds objects that only its own program's code could make.
    """
    try:
        return torch.load(place, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception as error:  # what a file that is none makes of the reader is not foreseeable
        # The error of torch is not shown: it advises to run whatever code the file brings.
        raise ValueError(
            "it was not written by torch.save, is cut short, or holds more than tensors, numbers "
            "and text"
        ) from error
