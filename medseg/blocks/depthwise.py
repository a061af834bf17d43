"""A convolution of each feature with a kernel of its own.

Source: Chollet 2017, Xception, section 2, https://arxiv.org/abs/1610.02357
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from medseg.blocks.residual import TINY_GRID

Features = Float[Tensor, "batch features i j k"]


class DepthwiseConvolution(nn.Conv3d):
    """Each feature on its own, on the same grid, zero outside."""

    def __init__(self, features: int, *, kernel: int | Sequence[int] = 3) -> None:
        i, j, k = (kernel,) * 3 if isinstance(kernel, int) else kernel
        half = (i // 2, j // 2, k // 2)
        super().__init__(features, features, (i, j, k), padding=half, groups=features)

    def forward(self, x: Features) -> Features:
        """Convolve, and return in memory format channels_last_3d.

        In it torch has a fast kernel on a CPU: measured 2 to 3 times as fast as the contiguous one,
        forward and backward, and faster than 27 shifted products.
        """
        x = x.contiguous(memory_format=torch.channels_last_3d)
        narrow = x.dtype == torch.bfloat16 or torch.is_autocast_enabled("cpu")
        if not narrow or x.device.type != "cpu" or x.shape[2:].numel() > TINY_GRID:
            return super().forward(x)
        # On tiny grids the bfloat16 gradient of the weights holds uninitialised memory, as that of
        # other convolutions does; see `medseg.blocks.residual`.
        with torch.autocast("cpu", enabled=False):
            weight, bias = self.weight.float(), self.bias
            wide = None if bias is None else bias.float()
            return self._conv_forward(x.float(), weight, wide).to(torch.bfloat16)
