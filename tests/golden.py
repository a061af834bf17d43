"""What the published networks answer to weights and an input made by a rule.

The weights are too large to be kept; they are made again, by numpy's legacy generator, which is the
same in all its versions.
"""

import json
import math
import zlib
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional


def state(folder: Path, name: str) -> dict[str, torch.Tensor]:
    """Make the weights of a published network, under the names that they have there."""
    shapes = description(folder, name)["state_dict"]
    return {key: torch.from_numpy(weight(key, shape)) for key, shape in shapes.items()}


def description(folder: Path, name: str) -> dict:
    """Read which weights a published network has, and the size of its input."""
    return json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))


def outputs(folder: Path, name: str) -> dict[str, np.ndarray]:
    """Read what a published network answers."""
    with np.load(folder / f"{name}.npz") as stored:
        return dict(stored)


def weight(key: str, shape: list[int]) -> np.ndarray:  # noqa: PLR0911 - one case for each kind
    """Make the weight `key`."""
    r = np.random.RandomState(zlib.crc32(key.encode())).standard_normal(shape).astype(np.float32)
    if key.endswith("A_logs"):
        steps = np.arange(1, shape[1] + 1, dtype=np.float32)
        return np.log(steps)[None] + np.float32(0.1) * r
    if key.endswith("dt_projs_bias"):
        return np.float32(-4) + np.float32(0.5) * r
    if key.endswith("Ds"):
        return 1 + np.float32(0.1) * r
    if key.endswith("relative_position_bias_table"):
        return np.float32(0.2) * r
    if key.endswith("bias"):
        return np.float32(0.05) * r
    if len(shape) == 1:
        return 1 + np.float32(0.1) * r
    if key.endswith(("x_proj_weight", "dt_projs_weight")):
        return r / np.float32(math.sqrt(shape[-1]))
    return r / np.float32(math.sqrt(np.prod(shape[1:])))


def image(folder: Path, name: str) -> torch.Tensor:
    """Make the input, smoothed noise; that of a 2D network as a volume with one slice."""
    shape = description(folder, name)["input_shape"]
    noise = np.random.RandomState(1000).standard_normal(shape).astype(np.float32)
    if len(shape) == 4:
        return 3 * functional.avg_pool2d(torch.from_numpy(noise), 3, 1, 1)[:, :, None]
    return 3 * functional.avg_pool3d(torch.from_numpy(noise), 3, 1, 1)
