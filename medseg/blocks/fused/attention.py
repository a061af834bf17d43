"""Attention of windows in compiled loops: one pass, whose logits never leave the nearest cache.

Source: Dao et al. 2022, FlashAttention, https://arxiv.org/abs/2205.14135
Differs from the reference code: windows are small enough for the logits of a few queries with all
keys, so that no sum has to be scaled again; everything between reading and writing is float32.
"""

import itertools
import math
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from medseg.blocks.fused import voxels
from medseg.blocks.selective_scan import import_error
from medseg.blocks.selective_scan.cpu import threads

KERNELS = "medseg.blocks.fused.attention_kernels"

LOG2_E = math.log2(math.e)

LOWEST = -1e30
"""Logit of a key that is not there."""


def usable(qkv: Tensor) -> bool:
    """Whether compiled loops can attend: on the processor, where no gradient is asked for."""
    recorded = torch.is_grad_enabled() and qkv.requires_grad
    return not recorded and voxels.usable(qkv) and import_error(KERNELS) is None


def attend(
    out: Float[Tensor, "windows tokens heads features"],
    qkv: Float[Tensor, "windows tokens three heads features"],
    bias: Float[Tensor, "heads tokens tokens"] | None,
    separate: Tensor | None,
    *,
    penalty: float,
) -> None:
    """Let the tokens of each window attend to each other.

    Args:
        out: Written.
        qkv: Queries, keys and values.
        bias: Added to the logits.
        separate: Pairs of tokens that must not see each other; None if all may.
        penalty: Added to the logits of those.
    """
    from medseg.blocks.fused import attention_kernels as kernels

    windows, tokens, _, heads, features = qkv.shape
    lacking = -features % voxels.WIDTH
    whole = functional.pad(qkv, (0, lacking)) if lacking else qkv.contiguous()
    mixed = whole.new_empty(windows, tokens, heads, features + lacking) if lacking else out
    logits = _logits(bias, separate, tokens, penalty)
    call = partial(
        kernels.attend,
        *(voxels.array(t.view(-1)) for t in (mixed, whole, logits)),
        heads,
        tokens,
        features + lacking,
        logits.shape[2],
        kernels.number(LOG2_E / math.sqrt(features)),
    )
    pieces = min(windows * heads, 8 * torch.get_num_threads())
    edges = [windows * heads * n // pieces for n in range(pieces + 1)]
    jobs = [partial(call, *bound) for bound in itertools.pairwise(edges)]
    threads.run(jobs, torch.get_num_threads())
    if lacking:
        out.copy_(mixed[..., :features])


def _logits(
    bias: Tensor | None, separate: Tensor | None, tokens: int, penalty: float
) -> Float[Tensor, "heads rows width"]:
    """Return what is added to logits, in powers of two, filled up to whole blocks."""
    from medseg.blocks.fused.attention_kernels import KEYS, QUERIES

    heads = 1 if bias is None else len(bias)
    rows, width = (-(-tokens // n) * n for n in (QUERIES, KEYS))
    filled = torch.full((heads, rows, width), LOWEST)
    inner = filled[:, :tokens, :tokens]
    inner.copy_(torch.zeros(()) if bias is None else bias.detach().float())
    if separate is not None:
        inner.add_(separate, alpha=penalty)
    inner.mul_(LOG2_E)
    return filled
