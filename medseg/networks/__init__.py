"""Segmentation networks: one paper, one file.

A module here defines a class of the paper's name, offers it as `Network`, and offers as `TINY` the
options of a small version for tests. Every network takes an image batch of any size and returns
full-resolution logits.
"""

import sys
from typing import Any

from torch import nn

from medseg import registry


def build(name: str, *, in_channels: int, out_channels: int, **options: Any) -> nn.Module:
    """Build the network that `name` names, with fresh weights.

    Args:
        name: A module of this package, such as `swin_unetr`.
        in_channels: Channels of the image.
        out_channels: Channels of the logits: labels, or regions.
        **options: What the network's class takes beside these.

    Raises:
        ValueError: There is no such network, or it refuses the options.
    """
    module = registry.load(sys.modules[__name__], name)
    network: nn.Module = module.Network(
        in_channels=in_channels, out_channels=out_channels, **options
    )
    return network
