"""Which processor does the work."""

from typing import Literal

import torch

from medseg.errors import UsageError

DeviceChoice = Literal["auto", "cpu", "cuda"]


def choose(device: DeviceChoice) -> torch.device:
    """Return the device that was asked for; `auto` takes a GPU if there is one.

    Raises:
        UsageError: A GPU was asked for and there is none that torch can use.
    """
    available = torch.cuda.is_available()
    if device == "cuda" and not available:
        raise UsageError(
            "there is no GPU that torch can use",
            remedy="Use --device cpu, or install a torch build with CUDA and a matching driver",
        )
    return torch.device("cuda" if available and device != "cpu" else "cpu")
