"""A convolution of each feature with a kernel of its own.

Source: Chollet 2017, Xception, section 2, https://arxiv.org/abs/1610.02357
"""

from collections.abc import Sequence

import torch
from torch import nn

from medseg.blocks.axes import Features, per_axis
from medseg.blocks.residual import convolve_whole


class DepthwiseConvolution(nn.Conv3d):
    """Each feature on its own, on the same grid, zero outside."""

    def __init__(self, features: int, *, kernel: int | Sequence[int] = 3) -> None:
        i, j, k = per_axis(kernel, "kernel")
        half = (i // 2, j // 2, k // 2)
        super().__init__(features, features, (i, j, k), padding=half, groups=features)

    def forward(self, x: Features) -> Features:
        """Convolve, and return in memory format channels_last_3d.

        In it torch has a fast kernel on a CPU: measured 2 to 3 times as fast as the contiguous one,
        forward and backward, and faster than 27 shifted products.
        """
        x = x.contiguous(memory_format=torch.channels_last_3d)
        return convolve_whole(x, self.weight, self.bias, groups=self.groups)
