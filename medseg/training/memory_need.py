"""What a training step needs of memory, counted before anything is trained, and what there is."""

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef

from medseg import memory

COPIES: Final = 5
"""Of the weights in memory: themselves, their gradients, two moments of the optimizer, their moving
average."""

TRANSIENT: Final = 1.5
"""How many times what is kept for the backward pass a step takes at its peak, at most.

Measured: the peaks in `benchmarks/RESULTS.md` of a forward and backward pass (five networks in size
`base`, 96x96x96 voxels, float32 on a CPU), less weights and gradients, are 0.9 to 1.5 times what
`kept_bytes` counts. bfloat16 needs less."""

LOSS: Final = 5
"""Tensors of the logits' shape in float32 that the loss takes: three of them are kept for the
backward pass (logits, their softmax, targets), beside what is computed with them."""

SHARE: Final = {"cuda": 0.8, "cpu": 0.5}
"""Of the memory that a step may take; data, validation and other programs need some too."""

MOST_ON_GPU: Final = 24e9
"""Bytes that a plan makes use of, however large the GPU is: as in nnU-Net's preset L, since a
larger batch takes its time too (Isensee et al. 2024, https://arxiv.org/abs/2404.09556)."""


@dataclass(frozen=True)
class Need:
    """What a step needs, in bytes.

    Attributes:
        weights: Whatever the batch.
        image: For each image of the batch.
    """

    weights: float
    image: float

    def of(self, batch: int) -> float:
        """Return what a step with `batch` images needs."""
        return self.weights + batch * self.image

    def fitting(self, budget: float) -> int:
        """Return how many images fit, 0 if none."""
        return max(0, int((budget - self.weights) // self.image))


def need(network: nn.Module, image: Tensor, *, out_channels: int, deep: bool) -> Need:
    """Count what a training step of `network` needs for each image such as `image`.

    Args:
        network: Best without values, on the device `meta`, as the image.
        image: A batch of one.
        out_channels: Of the logits, for the loss.
        deep: Whether coarser logits are supervised too, where the network has them.
    """
    weights = sum(weight.numel() * weight.element_size() for weight in network.parameters())
    loss = LOSS * 4 * out_channels * image[0, 0].numel()
    return Need(COPIES * weights, TRANSIENT * kept_bytes(network, image, deep=deep) + loss)


def budget_bytes(device: torch.device, *, sharing: int = 1) -> float:
    """Return what a step may need.

    It follows from the size of the memory, used or not: a plan must not depend on the hour.

    Args:
        device: Where it is computed.
        sharing: Processes of this machine that share the memory, unless each has a GPU.
    """
    if device.type == "cuda":
        return min(MOST_ON_GPU, SHARE["cuda"] * torch.cuda.mem_get_info(device)[1])
    return SHARE["cpu"] * memory.total_bytes() / sharing


def concerns(needed: float, budget: float) -> tuple[str, ...]:
    """Say that a step which needs so many bytes may not fit; nothing if it does."""
    if needed <= budget:
        return ()
    return (
        f"A step needs about {needed / 1e9:.1f} GB, more than the {budget / 1e9:.1f} GB to plan"
        " with: memory may run out. Choose a smaller patch, batch or network.",
    )


def kept_bytes(network: nn.Module, image: Tensor, *, deep: bool) -> int:
    """Count what `network` keeps of `image` for the backward pass, beside its weights.

    On tensors without values (`meta`) that takes a second and no memory, and differs from what a
    CPU keeps by less than half: attention there need not keep its weights.

    Args:
        network: On the device of the image.
        image: A batch of images.
        deep: Whether coarser logits are supervised too, where the network has them.
    """
    kept: dict[StorageWeakRef, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        kept[_storage(tensor)] = tensor.untyped_storage().nbytes()
        return tensor

    run = getattr(network, "deep_supervision", network) if deep else network
    weights = {_storage(weight) for weight in network.parameters()}
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        logits = run(image)
    del logits
    return sum(size for storage, size in kept.items() if storage not in weights)


def _storage(tensor: Tensor) -> StorageWeakRef:
    """Return what is the same for tensors that share memory, also for those without values."""
    return StorageWeakRef(tensor.untyped_storage())  # type: ignore[no-untyped-call]
