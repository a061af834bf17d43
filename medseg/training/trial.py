"""Whether every one of several processes has the memory for a step, tried before they begin.

A process that runs out of memory in the midst of a step leaves the others waiting for its part of a
sum. All have the same share of every batch: what fits each of them once fits later.
"""

from typing import Final

import torch

from medseg import memory
from medseg.training import processes
from medseg.training.memory_need import COPIES
from medseg.training.module import SegmentationModule

BUCKETS: Final = 1
"""Copies of the gradients that are exchanged between processes, beside the other `COPIES`."""


def fits(module: SegmentationModule, device: torch.device) -> bool:
    """Try a step on noise; tell whether it fitted, in every process if there are several.

    A single process tries nothing: it can stop whenever its memory runs out. The network keeps its
    weights and has no gradients afterwards, but is on the device.

    Args:
        module: What will be trained.
        device: Where this process computes.
    """
    if processes.count() == 1:
        return True
    kept = {name: value.clone() for name, value in module.network.named_buffers()}
    try:
        _step(module, device)
        failed = 0.0
    except Exception as error:
        if not memory.ran_out(error):
            raise
        failed = 1.0
    module.network.zero_grad(set_to_none=True)
    for name, value in module.network.named_buffers():
        value.copy_(kept[name])
    if device.type == "cuda":
        torch.cuda.empty_cache()
    return processes.mean(failed, device) == 0


def _step(module: SegmentationModule, device: torch.device) -> None:
    """Compute gradients without waiting for anybody, and hold what training would hold beside."""
    plan, network = module.plan, module.network.to(device).train()
    weights = sum(weight.numel() for weight in network.parameters())
    beside = torch.empty((COPIES - 2 + BUCKETS) * weights, device=device)
    share = plan.batch // processes.count()
    images = torch.randn(share, len(module.task.channels), *plan.patch, device=device)
    deep = getattr(network, "deep_supervision", None) if plan.training.deep_supervision else None
    with torch.autocast(device.type, torch.bfloat16, enabled=plan.precision == "bfloat16"):
        scales = [network(images)] if deep is None else deep(images)
    torch.autograd.backward([scale.float().square().mean() for scale in scales])
    del beside
