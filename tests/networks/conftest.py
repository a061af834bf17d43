"""Weights of others, made up under the names and in the shapes that they have there."""

from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor


@pytest.fixture
def swin_of_images() -> Callable[..., dict[str, Tensor]]:
    """Weights of a Swin transformer that classifies images."""
    return _swin_of_images


def _swin_of_images(
    features: int, *, depths: Sequence[int], heads: Sequence[int], patch: int
) -> dict[str, Tensor]:
    f = features
    shapes = {
        "patch_embed.proj.weight": (f, 3, patch, patch),
        "patch_embed.proj.bias": (f,),
        "patch_embed.norm.weight": (f,),
        "patch_embed.norm.bias": (f,),
        "norm.weight": (8 * f,),
        "norm.bias": (8 * f,),
        "head.weight": (10, 8 * f),
    }
    for stage, (depth, count) in enumerate(zip(depths, heads, strict=True)):
        n = f * 2**stage
        for block in range(depth):
            at = f"layers.{stage}.blocks.{block}"
            shapes |= {
                f"{at}.norm1.weight": (n,), f"{at}.norm1.bias": (n,),
                f"{at}.attn.relative_position_bias_table": (169, count),
                f"{at}.attn.relative_position_index": (49, 49),
                f"{at}.attn.qkv.weight": (3 * n, n), f"{at}.attn.qkv.bias": (3 * n,),
                f"{at}.attn.proj.weight": (n, n), f"{at}.attn.proj.bias": (n,),
                f"{at}.norm2.weight": (n,), f"{at}.norm2.bias": (n,),
                f"{at}.mlp.fc1.weight": (4 * n, n), f"{at}.mlp.fc1.bias": (4 * n,),
                f"{at}.mlp.fc2.weight": (n, 4 * n), f"{at}.mlp.fc2.bias": (n,),
            }  # fmt: skip
            if block % 2:
                shapes[f"{at}.attn_mask"] = (64, 49, 49)
        if stage < 3:
            at = f"layers.{stage}.downsample"
            shapes |= {
                f"{at}.norm.weight": (4 * n,),
                f"{at}.norm.bias": (4 * n,),
                f"{at}.reduction.weight": (2 * n, 4 * n),
            }
    torch.manual_seed(0)
    return {name: torch.randn(shape) for name, shape in shapes.items()}
