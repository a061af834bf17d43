"""The weights in a checkpoint of nnU-Net, read without running anything that is in it.

A checkpoint is a pickle. It is unpickled by PyTorch's own restricted reader, which builds tensors
and plain containers, and what is listed here: the numbers of numpy in which nnU-Net keeps its
training curves. Anything else is refused before it is built.
"""

import pickle
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from medseg.errors import ModelError

_REMEDY: Final = "Copy the folder anew from where it was trained"


@dataclass(frozen=True)
class Checkpoint:
    """What prediction needs of a checkpoint.

    Attributes:
        configuration: Name of the configuration that was trained.
        trainer: Name of the class that trained it.
        mirror_axes: Axes of the network (0, 1, 2) along which training mirrored.
        weights: By name; those of the file itself, which is read when they are.
    """

    configuration: str
    trainer: str
    mirror_axes: tuple[int, ...]
    weights: Mapping[str, Tensor]


def read(path: Path) -> Checkpoint:
    """Read a checkpoint.

    Raises:
        ModelError: It is damaged, holds what no checkpoint of nnU-Net holds, or is none.
    """
    try:
        with _allowed():
            content: dict[str, Any] = torch.load(
                path, map_location="cpu", weights_only=True, mmap=True
            )
        weights = content["network_weights"]
        if not all(isinstance(value, Tensor) for value in weights.values()):
            raise TypeError("not all weights are tensors")
        return Checkpoint(
            configuration=str(content["init_args"]["configuration"]),
            trainer=str(content["trainer_name"]),
            mirror_axes=tuple(map(int, content.get("inference_allowed_mirroring_axes") or ())),
            weights=weights,
        )
    except pickle.UnpicklingError as error:
        raise ModelError(
            f"holds what no checkpoint of nnU-Net holds, and was not opened{_forbidden(path)}",
            where=path,
            remedy="Do not use it; get the model from a source you trust",
        ) from error
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError, OSError) as error:
        said = " ".join(f"{type(error).__name__}: {error}".split())
        raise ModelError(
            f"is no checkpoint of nnU-Net: {said:.200}", where=path, remedy=_REMEDY
        ) from error


def _allowed() -> AbstractContextManager[None]:
    """Allow numpy's numbers, and the names under which older releases of numpy pickled them."""
    number: Any = np.float64().__reduce__()[0]  # what makes a number again of its bytes
    kinds = {type(np.dtype(name)) for name in ("f2", "f4", "f8", "i4", "i8", "u1", "b1")}
    older = (number, "numpy.core.multiarray.scalar")
    return torch.serialization.safe_globals([np.dtype, number, older, *kinds])


def _forbidden(path: Path) -> str:
    try:
        with _allowed():
            found = torch.serialization.get_unsafe_globals_in_checkpoint(path)
    except (RuntimeError, OSError, ValueError, pickle.UnpicklingError):
        return ""
    return f": {', '.join(sorted(found))}" if found else ""
