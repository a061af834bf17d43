"""A recipe and the data become a plan: spacing, patch, batch and all that follows from them.

Rules, in order; most are nnU-Net's, and tested beside its planner:

1. Spacing: the recipe's, else the task's, else the median of the data along each axis; where the
   coarsest axis has more than three times the spacing of both others and less than a third of
   their voxels, its tenth percentile, though not less than the others, so that thin slices are not
   thrown away.
2. Size of the network: the recipe's options, else `base` on a GPU and `small` on a CPU.
3. Patch and batch: see `patch_size`. The memory is counted for the network with the options of the
   next step.
4. Options that suit the patch, where the network knows any: strides that leave thick slices for
   later, windows that fill its grid. Not in the sizes that stay as they are made, nor where a
   training begins with weights, which fit no other options.
5. Steps of an epoch: a patch of every case by batches of two, or by those that were asked for,
   within 25 to 250.
6. Augmentation: a patch that is more than three times as long as it has slices, and whose slices
   are the coarsest axis, is turned and scaled within its slices alone.
7. Precision: bfloat16 on GPUs that multiply it in hardware, else float32. CPUs that do are not
   counted: their bfloat16 convolutions saved a third of a step, but gave wrong gradients on small
   grids in torch 2.14.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, Literal

import numpy as np
import torch
from torch import nn

from medseg import networks
from medseg.data.transforms import AXES
from medseg.errors import UsageError
from medseg.recipe import DECIDED, NetworkChoice, Plan, Recipe, Training
from medseg.shapes import Shape, Spacing
from medseg.task import Task
from medseg.training import memory_need, patch_size
from medseg.training.fingerprint import Fingerprint
from medseg.training.memory_need import Need
from medseg.training.patch_size import SMALLEST_BATCH, Sized

ANISOTROPY: Final = 3.0
STEPS_PER_EPOCH: Final = (25, 250)


@dataclass(frozen=True)
class Planned:
    """A plan, and why it is so.

    Attributes:
        plan: The plan.
        reasons: For fields of the plan, one sentence each.
        concerns: What a user should be told at once.
    """

    plan: Plan
    reasons: dict[str, str]
    concerns: tuple[str, ...] = ()


def resolve(
    recipe: Recipe,
    task: Task,
    data: Fingerprint,
    device: torch.device,
    *,
    cases: int,
    pretrained: bool = False,
    processes: int = 1,
    sharing: int = 1,
) -> Planned:
    """Decide everything the recipe leaves open.

    Args:
        recipe: May say `auto`.
        task: What is segmented.
        data: Sizes and spacings of the training cases.
        device: Where training runs.
        cases: Number of training cases.
        pretrained: Whether weights will be loaded, so that the network's options must stay those
            of its size, or of the model that they come from.
        processes: How many share a batch that was asked for; an automatic one is for each.
        sharing: How many share the memory of a CPU.

    Raises:
        UsageError: The network does not exist or does not take an option.
    """
    spacing_mm, why_spacing = _spacing(recipe, task, data)
    choice = sized(recipe.network, device)

    def suited(patch: Shape) -> NetworkChoice:
        return choice if pretrained else fitted(choice, patch, spacing_mm)

    def need(patch: Shape) -> Need:
        return need_of(suited(patch), task, patch, deep=recipe.training.deep_supervision)

    median = median_shape(data, spacing_mm)
    budget = memory_need.budget_bytes(device, sharing=sharing)
    batch = recipe.training.batch
    found = _sized(
        recipe.patch,
        "auto" if batch == "auto" else share(batch, processes),
        median,
        spacing_mm,
        need,
        cases=cases,
        device=device,
        budget=budget,
    )
    training, why_slices = augmented(_decided(recipe.training), found.patch, spacing_mm)
    plan = Plan(
        network=suited(found.patch),
        patch=found.patch,
        spacing_mm=spacing_mm,
        windows=data.windows,
        channels=tuple(task.channels),
        batch=found.batch if batch == "auto" else batch,
        steps_per_epoch=_steps(recipe, cases),
        precision=_precision(recipe, device),
        training=training,
        inference=recipe.inference,
    )
    return Planned(
        plan,
        {
            "network": _why_network(choice, plan, pretrained=pretrained),
            "patch": _why_patch(recipe, median, found, budget),
            "spacing_mm": why_spacing,
            "windows": "Clipping and scaling of each CT channel, in HU, by the labelled voxels."
            " MR channels are scaled each by itself.",
            "batch": _why_batch(recipe, device),
            "steps_per_epoch": f"Of {cases} training cases; an epoch ends with a validation.",
            "precision": "bfloat16 on GPUs that have it.",
            "training": f"{why_slices} Mirrored along: {', '.join(task.mirror_axes) or 'nothing'}"
            " (the task says which axes may be).",
        },
        memory_need.concerns(found.need.of(found.batch), budget),
    )


def share(batch: int, processes: int) -> int:
    """Return how many patches of a batch the process with most of them has."""
    return -(-batch // processes)


def for_processes(
    plan: Plan, count: int, *, automatic: bool, setting: str = "training.batch"
) -> Plan:
    """Return the plan for several processes that share every batch.

    Args:
        plan: Of one process.
        count: How many there are.
        automatic: Whether the batch follows from the memory, which each process has of its own.
        setting: What the batch is called where it was asked for.

    Raises:
        UsageError: A batch that was asked for cannot be shared equally.
    """
    if automatic:
        return plan.model_copy(update={"batch": plan.batch * count})
    fitting = share(plan.batch, count) * count
    if plan.batch != fitting:
        raise UsageError(
            f"a batch of {plan.batch} cannot be shared equally by {count} processes",
            remedy=f"Choose a multiple, such as --set {setting}={fitting}",
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


def fitted(choice: NetworkChoice, patch: Shape, spacing_mm: Spacing) -> NetworkChoice:
    """Return `choice` with the options that suit `patch`; those it has come before them."""
    size = choice.options.get("size")
    suiting = networks.fitted(choice.name, patch, spacing_mm=spacing_mm, size=size)
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


def need_of(choice: NetworkChoice, task: Task, patch: Shape, *, deep: bool) -> Need:
    """Count what a training step needs, on tensors without values.

    Raises:
        UsageError: The network cannot be built, or does not take such a patch.
    """
    with torch.device("meta"):
        network = build_network(choice, task)
        image = torch.zeros(1, len(task.channels), *patch)
    try:
        return memory_need.need(network, image, out_channels=task.out_channels, deep=deep)
    except (ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise UsageError(
            f"network {choice.name} does not take a patch of {'x'.join(map(str, patch))} voxels:"
            f" {reason:.200}",
            remedy="Choose a larger patch, or other options of the network",
        ) from error


def median_shape(data: Fingerprint, spacing_mm: Spacing) -> Shape:
    """Return the median voxels of the cases along each axis, at a spacing."""
    extents_mm = np.array(data.shapes) * np.array(data.spacings_mm)
    median = np.median(extents_mm / np.array(spacing_mm), axis=0)
    i, j, k = (max(1, math.ceil(round(float(length), 3))) for length in median)
    return (i, j, k)


def thick_axis(patch: Shape, spacing_mm: Spacing) -> Literal["x", "y", "z", "none"]:
    """Name the axis across thick slices, for augmentation.

    Source: nnU-Net's trainer turns patches within slices where one is more than three times as long
    as it has slices.
    """
    coarsest = int(np.argmax(spacing_mm))
    alone = sum(length >= spacing_mm[coarsest] for length in spacing_mm) == 1
    return AXES[coarsest] if alone and max(patch) > ANISOTROPY * patch[coarsest] else "none"


def _sized(
    patch: Shape | Literal["auto"],
    batch: int | Literal["auto"],
    median: Shape,
    spacing_mm: Spacing,
    need: Callable[[Shape], Need],
    *,
    cases: int,
    device: torch.device,
    budget: float,
) -> Sized:
    """Choose patch and batch, unless they were asked for, of what one device computes."""
    least = SMALLEST_BATCH if batch == "auto" else batch
    if patch != "auto":
        needed = need(patch)
        found = Sized(patch, least if needed.of(least) <= budget else 1, needed)
    else:
        found = patch_size.fitting(
            median,
            spacing_mm,
            need,
            budget=budget,
            worthwhile=patch_size.WORTHWHILE[device.type],
            batch=least,
        )
    if batch != "auto":
        return replace(found, batch=batch)
    if device.type != "cuda":  # its time grows with the batch
        return found
    larger = patch_size.largest_batch(found, median, cases=cases, budget=budget)
    return replace(found, batch=larger)


def _steps(recipe: Recipe, cases: int) -> int:
    if recipe.training.steps_per_epoch != "auto":
        return recipe.training.steps_per_epoch
    batch = SMALLEST_BATCH if recipe.training.batch == "auto" else recipe.training.batch
    low, high = STEPS_PER_EPOCH
    return min(high, max(low, math.ceil(cases / batch)))


def augmented(training: Training, patch: Shape, spacing_mm: Spacing) -> tuple[Training, str]:
    """Decide within which slices patches are turned, and say why."""
    augmentation = training.augmentation
    if augmentation.slices_across != "auto":
        return training, "slices_across is as it was asked for."
    across = thick_axis(patch, spacing_mm)
    decided = augmentation.model_copy(update={"slices_across": across})
    why = (
        "Patches are turned about every axis, since they have no thick slices."
        if across == "none"
        else f"Patches are turned within their slices alone, which are thick along {across}."
    )
    return training.model_copy(update={"augmentation": decided}), why


def _decided(training: Training) -> Training:
    """Leave to the plan's own fields what they say, so that nothing is said twice."""
    return training.model_copy(update=dict.fromkeys(DECIDED, "auto"))


def _spacing(recipe: Recipe, task: Task, data: Fingerprint) -> tuple[Spacing, str]:
    """Choose the voxel size, and say why."""
    if recipe.spacing_mm != "auto":
        return recipe.spacing_mm, "As it was asked for."
    if task.spacing_mm is not None:
        return task.spacing_mm, "That of the task."
    spacings = np.array(data.spacings_mm)
    chosen = np.median(spacings, axis=0)
    why = "The median of the training cases along each axis (RAS+: x, y, z)."
    sizes = np.median(np.array(data.shapes), axis=0)
    coarsest = int(chosen.argmax())
    others = np.arange(3) != coarsest
    is_thick = chosen[coarsest] > ANISOTROPY * chosen[others].max()
    if is_thick and ANISOTROPY * sizes[coarsest] < sizes[others].min():
        thin = float(np.percentile(spacings[:, coarsest], 10))
        chosen[coarsest] = max(thin, float(chosen[others].max()))
        why += f" Slices are thick and few along {AXES[coarsest]}: there the tenth percentile."
    i, j, k = (round(float(length), 4) for length in chosen)
    return (i, j, k), why


def _why_network(choice: NetworkChoice, plan: Plan, *, pretrained: bool) -> str:
    suiting = [name for name in plan.network.options if name not in choice.options]
    if pretrained:
        return "Its options are those that the weights to begin with were made for."
    if not suiting:
        return "Its options are as they were asked for."
    return f"Fitted to patch and spacing: {', '.join(suiting)}."


def _why_patch(recipe: Recipe, median: Shape, found: Sized, budget: float) -> str:
    shape = "x".join(map(str, median))
    need = f"a step needs about {found.need.of(found.batch) / 1e9:.1f} GB"
    if recipe.patch != "auto":
        return f"As it was asked for; the median case has {shape} voxels; {need}."
    return (
        f"From the median case, {shape} voxels at that spacing, shortened until a step is quick and"
        f" fits the memory: {need} of {budget / 1e9:.1f} GB."
    )


def _why_batch(recipe: Recipe, device: torch.device) -> str:
    if recipe.training.batch != "auto":
        return "As it was asked for."
    if device.type == "cuda":
        return "As many as fit, at most a twentieth of the training voxels, at least 2."
    return "2, since on a CPU a larger one takes its time; 1 where 2 do not fit."


def _precision(recipe: Recipe, device: torch.device) -> Literal["float32", "bfloat16"]:
    if recipe.training.precision != "auto":
        return recipe.training.precision
    hardware = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    return "bfloat16" if hardware else "float32"
