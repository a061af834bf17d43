"""The networks of nnU-Net's plans, built from `dynamic_network_architectures`.

Plans name classes; they are looked up in the lists below and never imported by their name.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from medseg.blocks.unet_inference import hastened
from medseg.errors import ModelError
from medseg.shapes import Shape

NETWORKS: Final = ("PlainConvUNet", "ResidualEncoderUNet")
"""The networks of nnU-Net's own plans."""

LAYERS: Final[Mapping[str, type[nn.Module]]] = {
    kind.__name__: kind
    for kind in (
        nn.Conv3d,
        nn.InstanceNorm3d,
        nn.BatchNorm3d,
        nn.LeakyReLU,
        nn.ReLU,
        nn.Dropout3d,
    )
}
"""The layers they may be made of."""

_LAYER_OPTIONS: Final = ("conv_op", "norm_op", "dropout_op", "nonlin")


class AnySize(nn.Module):
    """A network that takes tiles of any size, filled up with zeros to what its strides divide.

    Tiles of the plans need no filling; those that were made smaller to fit the memory may.
    """

    def __init__(self, network: nn.Module, multiple: Shape) -> None:
        super().__init__()
        self.network, self.multiple = network, multiple

    def forward(self, image: Tensor) -> Tensor:
        """Return logits on the grid of the image."""
        i, j, k = image.shape[2:]
        c, b, a = (-length % n for length, n in zip((i, j, k), self.multiple, strict=True))
        whole = functional.pad(image, (0, a, 0, b, 0, c)) if a or b or c else image
        logits: Tensor = self.network(whole)
        return logits[:, :, :i, :j, :k]


def build(
    name: str, options: Mapping[str, Any], *, in_channels: int, out_channels: int, where: Path
) -> nn.Module:
    """Build a network with fresh weights.

    Args:
        name: Its class; what stands before the last dot is of no account.
        options: What it is built with, layers by name.
        in_channels: Channels of the image.
        out_channels: Channels of the logits.
        where: The file that asks for it, for messages.

    Raises:
        ModelError: It is none of nnU-Net's own, or `dynamic_network_architectures` is missing.
    """
    kind = name.rpartition(".")[2]
    if kind not in NETWORKS:
        raise ModelError(
            f"is of a network {name}; medseg builds {' and '.join(NETWORKS)}",
            where=where,
            remedy="Use nnUNetv2_predict for it",
        )
    try:
        from dynamic_network_architectures.architectures import unet
    except ModuleNotFoundError as error:
        raise ModelError(
            f"needs {error.name}, which is not installed",
            where=where,
            remedy="Install it: 'pip install nnunetv2' brings it",
        ) from error
    chosen = dict(options)
    for option in _LAYER_OPTIONS:
        chosen[option] = _layer(chosen.get(option), option, where)
    network: nn.Module = getattr(unet, kind)(
        input_channels=in_channels,
        num_classes=out_channels,
        **(chosen | {"deep_supervision": False}),
    )
    return network


def fill(network: nn.Module, weights: Mapping[str, Tensor], *, where: Path) -> nn.Module:
    """Load weights, every one of which must fit, and make the network ready for prediction.

    Raises:
        ModelError: They belong to another network.
    """
    try:
        network.load_state_dict(dict(weights), strict=True)
    except RuntimeError as error:
        raise ModelError(
            f"does not fit the network of its plans: {' '.join(str(error).split()):.200}",
            where=where,
            remedy="A trainer that builds a network of its own needs nnUNetv2_predict",
        ) from error
    return hastened(network.eval())


def multiple_of(strides: Sequence[int | Sequence[int]]) -> Shape:
    """Return what the strides of all stages together divide a tile by along each axis."""
    stages = [(stride,) * 3 if isinstance(stride, int) else tuple(stride) for stride in strides]
    i, j, k = (math.prod(along) for along in zip(*stages, strict=True))
    return (i, j, k)


def _layer(name: str | None, option: str, where: Path) -> type[nn.Module] | None:
    if name is None:
        return None
    package, _, kind = str(name).rpartition(".")
    if package.partition(".")[0] != torch.__name__ or kind not in LAYERS:
        raise ModelError(
            f"asks for {option} {name}; medseg knows {', '.join(LAYERS)}",
            where=where,
            remedy="Use nnUNetv2_predict for it",
        )
    return LAYERS[kind]
