"""What a run will do, from what a user asked for; nothing is trained or written yet."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, cast

import torch

from medseg import bundle as bundles
from medseg import recipe as recipes
from medseg import task as tasks
from medseg.data import folds, layouts
from medseg.data.folds import Split
from medseg.data.matching import Matched
from medseg.errors import UsageError
from medseg.inference import device as devices
from medseg.recipe import Plan, Recipe
from medseg.survey.survey import Survey
from medseg.task import Task
from medseg.training import fingerprint, initial, memory_need
from medseg.training.fingerprint import Fingerprint
from medseg.training.memory_need import Need
from medseg.training.plan import (
    Planned,
    augmented,
    build_network,
    for_processes,
    need_of,
    resolve,
    share,
    sized,
)
from medseg.training.run_folder import AUTO, Request


@dataclass(frozen=True)
class Ground:
    """What a run stands on.

    Attributes:
        matched: The data, and the task that they fit.
        parts: Which cases are trained on and which held out.
    """

    matched: Matched
    parts: Split

    @property
    def task(self) -> Task:
        """What is segmented."""
        return self.matched.task

    def measured(self, survey: Survey) -> Fingerprint:
        """Put together what was measured of the cases that are trained on.

        Raises:
            DataError: No case has a label.
        """
        return fingerprint.of(survey.of(self.parts.training), self.task)


def ground(request: Request) -> Ground:
    """Find the data and their split; what was asked for wrongly is found before they are read.

    Raises:
        UsageError: A setting, the plan, or a file of weights is wrong.
        DataError: The data are incomplete or contradict the task.
    """
    for place in request.init:
        initial.read(Path(place))
    asked = None if request.task == AUTO else tasks.read(request.task)
    matched = layouts.find(Path(request.data), asked, request.numbering)
    if request.plan_text is None:
        with torch.device("meta"):
            build_network(sized(recipe_of(request).network, device_of(request)), matched.task)
    else:
        _need(request, plan_of(request, matched.task), matched.task)
    cases = layouts.require_labelled(matched.data_set)
    published = matched.data_set.splits
    parts = folds.choose(cases, published, name=request.split, fold=request.fold)
    return Ground(matched, parts)


def planned(request: Request, stands_on: Ground, data: Fingerprint, *, processes: int) -> Planned:
    """Plan a run, or take the plan that was given.

    Args:
        request: What was asked for.
        stands_on: Data, task and split.
        data: What was measured of the training cases.
        processes: How many share every batch.

    Raises:
        UsageError: A setting or the plan is wrong, or its batch cannot be shared.
    """
    task = stands_on.task
    if request.plan_text is not None:
        return _given(request, task, processes)
    recipe = recipe_of(request)
    found = resolve(
        recipe,
        task,
        data,
        device_of(request),
        cases=len(stands_on.parts.training),
        pretrained=bool(request.init),
        processes=processes,
        sharing=request.devices,
    )
    automatic = recipe.training.batch == "auto"
    return replace(found, plan=for_processes(found.plan, processes, automatic=automatic))


def batch_setting(request: Request) -> str:
    """Name what the batch is called behind --set: a plan has it as a field of its own."""
    return "training.batch" if request.plan_text is None else "batch"


def recipe_of(request: Request) -> Recipe:
    """Read the recipe that was asked for, with its settings.

    A training that begins with a model takes that model's network, if no other was asked for, and
    its options, so that its weights fit.

    Raises:
        UsageError: There is no such recipe, or a setting is wrong.
        ModelError: A model to begin with is damaged.
    """
    recipe = recipes.for_network(request.network, _settings(request), name=request.recipe)
    models = [Path(place) for place in request.init if not initial.is_public(Path(place))]
    if not models:
        return recipe
    given, asked = bundles.read(models[0]).plan.network, recipe.network
    if not _is_named(request):
        asked = asked.model_copy(update={"name": given.name})
    if asked.name != given.name:
        return recipe
    fitting = asked.model_copy(update={"options": {**given.options, **asked.options}})
    return recipe.model_copy(update={"network": fitting})


def network_of(request: Request) -> str:
    """Name the network that will be trained.

    Raises:
        UsageError: The recipe or the plan, or a setting of it, is wrong.
    """
    if request.plan_text is None:
        return recipe_of(request).network.name
    where = request.plan or "the plan"
    return recipes.changed_plan(request.plan_text, _settings(request), where=where).network.name


def plan_of(request: Request, task: Task) -> Plan:
    """Read the plan that was asked for, with its settings, and check it against the task.

    Raises:
        UsageError: It is wrong, or is not for this task.
    """
    where = request.plan or "the plan"
    plan = recipes.changed_plan(request.plan_text or "", _settings(request), where=where)
    ours, remedy = tuple(task.channels), "Make one for this task with 'medseg plan'"
    if plan.channels and plan.channels != ours:
        raise UsageError(
            f"was made for the channels {', '.join(plan.channels)}; task {task.name} has"
            f" {', '.join(ours)}",
            where=where,
            remedy=remedy,
        )
    ct = sorted(name for name, modality in task.channels.items() if modality == "ct")
    if sorted(plan.windows) != ct:
        raise UsageError(
            f"windows: are for the CT channels {', '.join(plan.windows) or '(none)'}; task"
            f" {task.name} has {', '.join(ct) or 'none'}",
            where=where,
            remedy=remedy,
        )
    return plan


def device_of(request: Request) -> torch.device:
    """Return the device that a run was asked to use.

    Raises:
        UsageError: It is a GPU, and there is none.
    """
    return devices.choose(cast("devices.DeviceChoice", request.device))


def _settings(request: Request) -> tuple[str, ...]:
    epochs = () if request.epochs is None else (f"training.epochs={request.epochs}",)
    return (*request.settings, *epochs)


def _is_named(request: Request) -> bool:
    """Tell whether a network was asked for by name."""
    named = any(setting.strip().startswith("network.name") for setting in request.settings)
    return named or request.network is not None or request.recipe is not None


def _need(request: Request, plan: Plan, task: Task) -> Need:
    """Count what a step of a given plan needs.

    Raises:
        UsageError: The network does not take the options or the patch.
    """
    try:
        return need_of(plan.network, task, plan.patch, deep=plan.training.deep_supervision)
    except UsageError as error:
        raise UsageError(error.what, where=request.plan, remedy=error.remedy) from error


def _given(request: Request, task: Task, processes: int) -> Planned:
    """Take the plan that was given, and decide what it leaves open."""
    device, asked = device_of(request), plan_of(request, task)
    precision, said = _precision(request, asked, device)
    training, why_slices = augmented(asked.training, asked.patch, asked.spacing_mm)
    plan = for_processes(
        asked.model_copy(update={"precision": precision, "training": training}),
        processes,
        automatic=False,
        setting=batch_setting(request),
    )
    needed = _need(request, plan, task).of(share(plan.batch, processes))
    budget = memory_need.budget_bytes(device, sharing=request.devices)
    reasons = {
        "network": f"This plan was given: {Path(request.plan or '').name}",
        "patch": f"A step needs about {needed / 1e9:.1f} GB of {budget / 1e9:.1f} GB.",
        "precision": said,
        "training": why_slices,
    }
    told = (said,) if said else ()
    return Planned(plan, reasons, (*told, *memory_need.concerns(needed, budget)))


def _precision(
    request: Request, plan: Plan, device: torch.device
) -> tuple[Literal["float32", "bfloat16"], str]:
    """Leave a plan's bfloat16 to GPUs, unless it was asked for beside the plan, and say so."""
    keys = {setting.partition("=")[0].strip() for setting in request.settings}
    asked = not keys.isdisjoint({"precision", "training.precision"})
    if plan.precision == "float32" or device.type == "cuda" or asked:
        return plan.precision, ""
    return "float32", (
        "The plan's bfloat16 is for GPUs: on a CPU it becomes float32, unless asked for with"
        " --set precision=bfloat16."
    )
