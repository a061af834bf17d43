"""A recipe and the data become a plan: spacing, patch and batch that fit the memory.

Rules, in order:

1. Spacing: the recipe's, else the task's, else the median of the data along each axis; where the
   coarsest axis has more than three times the spacing of both others and less than a third of
   their voxels, its tenth percentile, though not less than the others (nnU-Net's rule, so that thin
   slices are not thrown away).
2. Size of the network: the recipe's options, else `base` on a GPU and `small` on a CPU.
3. Patch: the median size of the data at that spacing, rounded up to a multiple of eight, at most
   128 (GPU) or 96 (CPU) voxels along an axis.
4. Options that suit the patch, where the network knows any, such as windows that fill its grid;
   not in the sizes that stay as they are made, nor with public weights, which fit no other options.
5. Batch: 2. While a step needs more than half of the memory, the longest axis of the patch
   is shortened by eight, down to 32; then the batch becomes 1. The need is counted: what the
   network, with the options that suit the patch, keeps for the backward pass on the whole of it.
6. Precision: bfloat16 on GPUs that multiply it in hardware, else float32. CPUs that do are not
   counted: their bfloat16 convolutions saved a third of a step, but gave wrong gradients on small
   grids in torch 2.14.
"""

import math
from collections.abc import Callable
from typing import Final, Literal

import numpy as np
import psutil
import torch
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef

from medseg import networks
from medseg.errors import UsageError
from medseg.recipe import NetworkChoice, Plan, Recipe
from medseg.shapes import Shape, Spacing
from medseg.task import Task
from medseg.training.fingerprint import Fingerprint

ANISOTROPY: Final = 3.0
MULTIPLE: Final = 8
SMALLEST_AXIS: Final = 32
LARGEST_AXIS: Final = {"cuda": 128, "cpu": 96}
MEMORY_SHARE: Final = 0.5
STEPS_PER_EPOCH: Final = (25, 250)


def resolve(
    recipe: Recipe,
    task: Task,
    data: Fingerprint,
    device: torch.device,
    *,
    cases: int,
    pretrained: bool = False,
) -> Plan:
    """Decide everything the recipe leaves open.

    Args:
        recipe: May say `auto`.
        task: What is segmented.
        data: Sizes and spacings of the training cases.
        device: Where training runs.
        cases: Number of training cases.
        pretrained: Whether public weights will be loaded, so that the network's options must stay
            those of its size.

    Raises:
        UsageError: The network does not exist or does not take an option.
    """
    spacing_mm = _spacing(recipe, task, data)
    choice = sized(recipe.network, device)

    def suited(patch: Shape) -> NetworkChoice:
        return choice if pretrained else fitted(choice, patch)

    patch, batch = _patch_and_batch(recipe, suited, task, data, spacing_mm, device)
    low, high = STEPS_PER_EPOCH
    steps = recipe.training.steps_per_epoch
    return Plan(
        network=suited(patch),
        patch=patch,
        spacing_mm=spacing_mm,
        windows=data.windows,
        batch=batch,
        steps_per_epoch=min(high, max(low, math.ceil(cases / batch))) if steps == "auto" else steps,
        precision=_precision(recipe, device),
        training=recipe.training,
        inference=recipe.inference,
    )


def for_processes(plan: Plan, count: int, *, automatic: bool) -> Plan:
    """Return the plan for several processes that share every batch.

    Args:
        plan: Of one process.
        count: How many there are.
        automatic: Whether the batch follows from the memory, which each process has of its own.

    Raises:
        UsageError: A batch that was asked for cannot be shared equally.
    """
    if automatic:
        return plan.model_copy(update={"batch": plan.batch * count})
    fitting = -(-plan.batch // count) * count
    if plan.batch != fitting:
        raise UsageError(
            f"a batch of {plan.batch} cannot be shared equally by {count} processes",
            remedy=f"Choose a multiple, such as --set training.batch={fitting}",
        )
    return plan


def sized(choice: NetworkChoice, device: torch.device) -> NetworkChoice:
    """Return `choice` with a named size, unless its options say how large it is.

    On a GPU that is `base`, on a CPU `small`; options given beside a size come before it.
    """
    if {"size", "features"} & choice.options.keys():
        return choice
    size = "base" if device.type == "cuda" else "small"
    return NetworkChoice(name=choice.name, options={"size": size, **choice.options})


def fitted(choice: NetworkChoice, patch: Shape) -> NetworkChoice:
    """Return `choice` with the options that suit `patch`; those it has come before them."""
    suiting = networks.fitted(choice.name, patch, size=choice.options.get("size"))
    return NetworkChoice(name=choice.name, options={**suiting, **choice.options})


def build_network(choice: NetworkChoice, task: Task) -> nn.Module:
    """Build the network that `choice` names for the channels and regions of `task`.

    Raises:
        UsageError: It does not exist or does not take an option.
    """
    try:
        return networks.build(
            choice.name,
            in_channels=len(task.channels),
            out_channels=task.out_channels,
            **choice.options,
        )
    except ModuleNotFoundError as error:
        raise UsageError(
            f"network {choice.name} needs {error.name}",
            remedy="Install it: 'pip install nnunetv2' brings what the control network needs",
        ) from error
    except (ValueError, TypeError) as error:
        raise UsageError(
            f"network {choice.name} cannot be built: {error}",
            remedy="Correct --network or --set network.options",
        ) from error


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


def _spacing(recipe: Recipe, task: Task, data: Fingerprint) -> Spacing:
    if recipe.spacing_mm != "auto":
        return recipe.spacing_mm
    if task.spacing_mm is not None:
        return task.spacing_mm
    spacings = np.array(data.spacings_mm)
    chosen = np.median(spacings, axis=0)
    sizes = np.median(np.array(data.shapes), axis=0)
    coarsest = int(chosen.argmax())
    others = np.arange(3) != coarsest
    is_thick = chosen[coarsest] > ANISOTROPY * chosen[others].max()
    if is_thick and ANISOTROPY * sizes[coarsest] < sizes[others].min():
        thin = float(np.percentile(spacings[:, coarsest], 10))
        chosen[coarsest] = max(thin, float(chosen[others].max()))
    i, j, k = (round(float(length), 4) for length in chosen)
    return (i, j, k)


def _patch_and_batch(
    recipe: Recipe,
    suited: Callable[[Shape], NetworkChoice],
    task: Task,
    data: Fingerprint,
    spacing_mm: Spacing,
    device: torch.device,
) -> tuple[Shape, int]:
    wanted = 2 if recipe.training.batch == "auto" else recipe.training.batch
    if recipe.patch != "auto":
        return recipe.patch, wanted
    budget = MEMORY_SHARE * _memory_bytes(device) / wanted

    def excess(patch: Shape) -> float:
        """Return how many times the budget an image of a patch needs."""
        with torch.device("meta"):
            network = build_network(suited(patch), task)
            image = torch.zeros(1, len(task.channels), *patch)
        return kept_bytes(network, image, deep=recipe.training.deep_supervision) / budget

    patch = _median_patch(data, spacing_mm, LARGEST_AXIS[device.type])
    while (times := excess(patch)) > 1 and max(patch) > SMALLEST_AXIS:
        patch = _shortened(patch, math.prod(patch) / times)
    return patch, 1 if times > 1 and recipe.training.batch == "auto" else wanted


def _shortened(patch: Shape, voxels: float) -> Shape:
    """Shorten the longest axis, again and again, until the patch has so few voxels."""
    while math.prod(patch) > voxels and max(patch) > SMALLEST_AXIS:
        longest = patch.index(max(patch))
        i, j, k = (size - MULTIPLE * (n == longest) for n, size in enumerate(patch))
        patch = (i, j, k)
    return patch


def _median_patch(data: Fingerprint, spacing_mm: Spacing, largest: int) -> Shape:
    extents_mm = np.array(data.shapes) * np.array(data.spacings_mm)
    median = np.median(extents_mm / np.array(spacing_mm), axis=0)
    i, j, k = (
        min(largest, MULTIPLE * math.ceil(round(float(length), 3) / MULTIPLE)) for length in median
    )
    return (i, j, k)


def _memory_bytes(device: torch.device) -> float:
    """Return the size of the memory, used or not: the plan must not depend on the hour."""
    if device.type == "cuda":
        return float(torch.cuda.mem_get_info(device)[1])
    return float(psutil.virtual_memory().total)


def _precision(recipe: Recipe, device: torch.device) -> Literal["float32", "bfloat16"]:
    if recipe.training.precision != "auto":
        return recipe.training.precision
    hardware = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    return "bfloat16" if hardware else "float32"
