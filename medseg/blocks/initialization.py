"""First weights.

Source: Liu et al. 2021, Swin transformer, https://arxiv.org/abs/2103.14030, its reference code
"""

from torch import nn


def draw_linear_maps(network: nn.Module) -> None:
    """Draw the weights of linear maps as Swin and VMamba do: normal, narrow, biases 0."""
    for module in network.modules():
        if isinstance(module, nn.Linear):
            nn.init.trunc_normal_(module.weight, std=0.02)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
