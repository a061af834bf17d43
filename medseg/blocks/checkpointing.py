"""Modules whose inner values are computed again in the backward pass instead of being kept."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from medseg.blocks.axes import Grid, Tokens


def call(module: nn.Module, *inputs: Tensor | Grid, checkpointing: bool) -> Tensor:
    """Apply a module; keep no value inside of it if `checkpointing`."""
    if checkpointing and torch.is_grad_enabled():
        result: Tensor = checkpoint(module, *inputs, use_reentrant=False)
    else:
        result = module(*inputs)
    return result


def chain(blocks: Iterable[nn.Module], tokens: Tokens, *, checkpointing: bool) -> Tokens:
    """Apply blocks one after the other."""
    for block in blocks:
        tokens = call(block, tokens, checkpointing=checkpointing)
    return tokens
