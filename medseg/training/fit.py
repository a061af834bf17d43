"""A training run from beginning to end, or from where it was interrupted."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from pickle import UnpicklingError
from typing import Literal, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from medseg import bundle as bundles
from medseg import experience as experiences
from medseg import files, memory, weights
from medseg import recipe as recipes
from medseg import task as tasks
from medseg.bundle import Bundle
from medseg.data import store
from medseg.data.cases import Case
from medseg.data.folds import Split
from medseg.errors import UsageError
from medseg.inference.foreground import kept_in_training
from medseg.recipe import Plan
from medseg.survey import survey as surveys
from medseg.survey.survey import Survey
from medseg.task import Task
from medseg.training import curves, initial, loop, planning, processes, trial
from medseg.training.callbacks import Overseer, Report
from medseg.training.fingerprint import Fingerprint
from medseg.training.module import SegmentationModule
from medseg.training.plan import build_network
from medseg.training.planning import Ground, device_of
from medseg.training.prior import begin_at_frequency
from medseg.training.run_folder import (
    Request,
    RunFolder,
    last_dice,
    read_experience,
    read_metrics,
    read_plan,
    read_request,
    read_split,
    start,
    write_split,
)
from medseg.training.schedule import Progress
from medseg.training.shrinking import smaller

Stage = Literal["checking", "preparing"]


@runtime_checkable
class Listener(Protocol):
    """Whoever wants to know how a run is getting on."""

    def on_case(self, stage: Stage, total: int) -> None:
        """Take note that one more of `total` cases was checked or prepared."""

    def on_survey(self, survey: Survey) -> None:
        """Take note of what is known of the data, and of what is odd about them."""

    def on_plan(self, plan: Plan, split: Split) -> None:
        """Take note of what will be trained on what."""

    def on_concern(self, said: str) -> None:
        """Take note of what may go wrong with the plan, or was changed in it."""

    def on_init(self, report: weights.Report) -> None:
        """Take note of what became of the weights to begin with."""

    def on_smaller(self, said: str) -> None:
        """Take note that memory ran out, and with how much less training goes on."""

    def on_step(self, report: Report) -> None:
        """Take note of a step."""

    def on_interrupt(self) -> None:
        """Take note that Ctrl-C was pressed: training stops after this step."""


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Attributes:
        bundle: The model.
        finished: False if it was interrupted and can be resumed.
        dice: Mean validation Dice at the last validation; NaN if there was none.
    """

    bundle: Bundle
    finished: bool
    dice: float


@dataclass(frozen=True)
class _Data:
    task: Task
    plan: Plan
    training: list[store.StoredCase]
    held_out: list[store.StoredCase]


def fit(request: Request, folder: RunFolder, listener: Listener) -> Outcome:
    """Train as `request` asks, in a new run folder.

    Raises:
        UsageError: A setting is wrong, or there is a run in the folder already.
        DataError: The data are incomplete or contradict the task.
        ImageError: A scan cannot be used.
        OutputError: The folder cannot be written.
    """
    processes.join(request.devices * request.nodes, device_of(request))
    if processes.rank():
        return _follow(folder, listener)
    return _begin(request, folder, listener, anew=False)


def resume(folder: RunFolder, listener: Listener) -> Outcome:
    """Go on with an interrupted run as if it had never stopped.

    The cases and the task are those the run began with, whatever became of their files since. A
    run that never reached its first checkpoint begins anew, by its plan if it has one. One that
    ended is not trained further; its model and curves are written once more from what it noted.

    Raises:
        UsageError: There is no run in the folder, or one of its files is damaged.
    """
    request = read_request(folder)
    processes.join(request.devices * request.nodes, device_of(request))
    if processes.rank():
        return _follow(folder, listener)
    for path in (folder.checkpoint, folder.metrics):
        files.remove_leftovers(path)
    if not folder.checkpoint.exists():
        return _begin(request, folder, listener, anew=True)
    stood = _stood(folder)
    if stood.finished:
        processes.wait()
        weights = stood.average
        task, plan = stood.task, stood.plan
        return _written(folder, task, plan, weights, finished=True, dice=last_dice(folder))
    return _go_on(stood, request, folder, listener)


@dataclass(frozen=True)
class _Stood:
    """How a run stood when it was interrupted; at the beginning if it has no checkpoint."""

    task: Task
    plan: Plan
    parts: Split
    first: int
    finished: bool
    average: dict[str, Tensor]


def _stood(folder: RunFolder) -> _Stood:
    parts = read_split(folder)
    with _explained(folder):
        task = tasks.parse(folder.task.read_text(encoding="utf-8"), where=folder.task)
        plan = read_plan(folder)
        if not folder.checkpoint.exists():
            return _Stood(task, plan, parts, 0, finished=False, average={})
        checkpoint = torch.load(folder.checkpoint, weights_only=True, map_location="cpu")
        first, noted = int(checkpoint["global_step"]), checkpoint["medseg"]
        average = noted["average"]["weights"]
        return _Stood(task, plan, parts, first, finished=noted["finished"], average=average)


def _go_on(stood: _Stood, request: Request, folder: RunFolder, listener: Listener) -> Outcome:
    prepared = _prepare(folder, stood.task, stood.plan, stood.parts, listener)
    network = build_network(stood.plan.network, stood.task)  # its weights are in the checkpoint
    module = _module(network, prepared, request, elapsed=0.0)
    return _train(module, prepared, folder, request, listener, first=stood.first)


def _follow(folder: RunFolder, listener: Listener) -> Outcome:
    """Train with the first process on what it has prepared; its weights come from there too."""
    processes.wait()
    request, stood = read_request(folder), _stood(folder)
    if stood.finished:
        return _ended(folder)
    return _go_on(stood, request, folder, listener)


def _ended(folder: RunFolder) -> Outcome:
    """Return how a run ended once the first process has written that."""
    processes.wait()
    return Outcome(bundles.read(folder.path), _stood(folder).finished, last_dice(folder))


def _begin(request: Request, folder: RunFolder, listener: Listener, *, anew: bool) -> Outcome:
    clock = Progress(1, None)
    ground = planning.ground(request)
    task, parts = ground.task, ground.parts
    start(folder, request, task, anew=anew)
    write_split(folder, parts)
    data = measured(ground, listener)
    plan = read_plan(folder) if anew and folder.plan.is_file() else None
    if plan is None:
        planned = planning.planned(request, ground, data, processes=processes.count())
        plan = planned.plan
        for said in planned.concerns:
            listener.on_concern(said)
        files.write_text(folder.plan, recipes.plan_text(plan, planned.reasons))
    if data.experience is not None:
        files.write_text(folder.experience, experiences.text(data.experience))
    network, given = _fresh(plan, task, request, listener)  # may refuse: before cases are prepared
    prepared = _prepare(folder, task, plan, parts, listener)
    if getattr(network, "HEAD_BIAS", None) not in given:
        begin_at_frequency(network, task, prepared.training)
    module = _module(network, prepared, request, elapsed=clock.elapsed_seconds)
    return _train(module, prepared, folder, request, listener, first=0)


def measured(ground: Ground, listener: Listener) -> Fingerprint:
    """Look at every case; measure only those that are trained on.

    Raises:
        DataError: The data are faulty.
    """
    total = len(ground.parts.cases)
    survey = surveys.look(
        ground.matched, ground.parts, on_case=lambda _: listener.on_case("checking", total)
    )
    surveys.require_usable(survey)
    listener.on_survey(survey)
    return ground.measured(survey)


def _prepare(folder: RunFolder, task: Task, plan: Plan, parts: Split, listener: Listener) -> _Data:
    listener.on_plan(plan, parts)
    held_out = parts.validation[: plan.training.validation_cases]
    total = len(parts.training) + len(held_out)

    def prepared(cases: tuple[Case, ...]) -> list[store.StoredCase]:
        told = partial(listener.on_case, "preparing", total)
        how = (task, plan, kept_in_training)
        return store.build(folder.cache, cases, *how, on_case=lambda _: told())

    return _Data(task, plan, training=prepared(parts.training), held_out=prepared(held_out))


def _fresh(
    plan: Plan, task: Task, request: Request, listener: Listener
) -> tuple[nn.Module, set[str]]:
    """Build the network with the weights it begins with; name those that were given."""
    torch.manual_seed(plan.training.seed)
    network = build_network(plan.network, task)
    given: set[str] = set()
    for place in request.init:
        report = initial.begin_with(network, Path(place))
        listener.on_init(report)
        given.update(report.matched)
    return network, given


def _module(
    network: nn.Module, data: _Data, request: Request, *, elapsed: float
) -> SegmentationModule:
    plan = data.plan
    total_steps = plan.training.epochs * plan.steps_per_epoch
    progress = Progress(total_steps, request.max_seconds, elapsed_before=elapsed)
    return SegmentationModule(network, data.task, plan, progress)


def _train(
    module: SegmentationModule,
    data: _Data,
    folder: RunFolder,
    request: Request,
    listener: Listener,
    *,
    first: int,
) -> Outcome:
    """Train; when the device's memory runs out, go on from the last checkpoint with less.

    Several processes cannot leave a step they are in together. They try one before they begin, and
    if memory runs out later, what they noted lets a resume go on with less.
    """
    if processes.rank() == 0:
        processes.wait()  # for those that follow, until all that they read is there
    writes = processes.rank() == 0  # all come to the same plan
    while not trial.fits(module, device_of(request)):
        module, data = _with_less(
            module, data, folder, request, listener, first=first, writes=writes
        )
    while True:
        try:
            return _trained(module, data, folder, request, listener, first=first)
        except Exception as error:
            if not memory.ran_out(error):
                raise
        first = _stood(folder).first
        module, data = _with_less(module, data, folder, request, listener, first=first)
        if processes.count() > 1:
            raise UsageError(
                f"the memory of process {processes.rank()} ran out",
                where=folder.path,
                remedy="Start all again with --resume, which goes on with less",
            )


def _with_less(
    module: SegmentationModule,
    data: _Data,
    folder: RunFolder,
    request: Request,
    listener: Listener,
    *,
    first: int,
    writes: bool = True,
) -> tuple[SegmentationModule, _Data]:
    """Make the plan smaller and note it; the network keeps its weights.

    Raises:
        UsageError: Nothing is left to be made smaller.
    """
    found = smaller(data.plan, processes=processes.count())
    if found is None:
        raise UsageError(
            "the memory of the device does not suffice",
            where=folder.path,
            remedy="Choose a smaller network with --set network.options.size=small, or a"
            f" smaller --set patch=[64,64,64] and --set {planning.batch_setting(request)}=1",
        )
    plan, said = found
    listener.on_smaller(said)
    why = {"network": f"The memory did not suffice: made smaller, at last to {said}."}
    if writes:
        files.write_text(folder.plan, recipes.plan_text(plan, why))
    network = build_network(plan.network, data.task)
    network.load_state_dict(module.network.state_dict())
    data = replace(data, plan=plan)
    elapsed = 0.0 if first else module.progress.elapsed_seconds
    return _module(network, data, request, elapsed=elapsed), data


def _trained(
    module: SegmentationModule,
    data: _Data,
    folder: RunFolder,
    request: Request,
    listener: Listener,
    *,
    first: int,
) -> Outcome:
    task, plan = data.task, data.plan

    def keep_best(weights: dict[str, Tensor]) -> None:
        bundles.write(folder.best, task, plan, weights, experience=read_experience(folder))

    overseer = Overseer(
        folder,
        data.held_out,
        on_step=listener.on_step,
        on_interrupt=listener.on_interrupt,
        on_best=keep_best,
    )
    checkpoint = folder.checkpoint if first else None
    machines = loop.Machines(device_of(request), request.devices, request.nodes)
    loop.run(module, data.training, overseer, machines, checkpoint=checkpoint, first=first)
    if processes.rank():
        return _ended(folder)
    weights = module.average.weights
    return _written(folder, task, plan, weights, finished=overseer.finished, dice=overseer.dice)


def _written(
    folder: RunFolder,
    task: Task,
    plan: Plan,
    weights: dict[str, Tensor],
    *,
    finished: bool,
    dice: float,
) -> Outcome:
    """Write what a run leaves behind, finished or stopped."""
    curves.draw(read_metrics(folder.metrics), folder.curves)
    bundle = bundles.write(folder.bundle, task, plan, weights, experience=read_experience(folder))
    if finished and folder.shared_cache is None:
        shutil.rmtree(folder.cache, ignore_errors=True)
    processes.wait()  # for those that follow, until the model is there
    return Outcome(bundle, finished, dice)


@contextmanager
def _explained(folder: RunFolder) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, KeyError, RuntimeError, EOFError, UnpicklingError) as error:
        raise UsageError(
            f"holds a run that cannot be resumed: {type(error).__name__}, {error}".splitlines()[0],
            where=folder.path,
            remedy="Start a new run in another folder",
        ) from error
