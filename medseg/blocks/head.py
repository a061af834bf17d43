"""The last layer of a network: logits from features.

Source: Hatamizadeh et al. 2022, Swin UNETR, https://arxiv.org/abs/2201.01266, for the names of the
weights
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from medseg.blocks.axes import Features
from medseg.blocks.residual import Convolution


class Head(nn.Module):
    """One logit for each output, from the features of a voxel."""

    def __init__(self, features: int, out_channels: int) -> None:
        super().__init__()
        self.conv = Convolution(features, out_channels, kernel=1, bias=True)

    def forward(self, x: Features) -> Float[Tensor, "batch outputs i j k"]:
        """Map each voxel; the logits lie channel by channel, as losses and files want them."""
        weight, bias = self.conv.conv.weight.flatten(1), self.conv.conv.bias
        # In bfloat16 torch copies what is transposed in a batch, but not in a single matrix.
        cases = [weight @ case for case in x.flatten(2).unbind()]
        logits = cases[0][None] if len(cases) == 1 else torch.stack(cases)
        if bias is not None:
            logits = logits.add_(bias.to(logits.dtype)[:, None])
        return logits.view(*logits.shape[:2], *x.shape[2:])
