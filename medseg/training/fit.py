"""A training run from beginning to end, or from where it was interrupted."""

import logging
import shutil
import signal
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Literal, Protocol, cast, runtime_checkable

import pytorch_lightning as lightning
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from medseg import bundle as bundles
from medseg import experience as experiences
from medseg import files, weights
from medseg import recipe as recipes
from medseg import task as tasks
from medseg.bundle import Bundle
from medseg.data import folds, layouts, store
from medseg.data.cases import Case
from medseg.data.folds import Split
from medseg.data.matching import Matched
from medseg.data.patches import Batch, Failed, Patches
from medseg.data.store import StoredCase
from medseg.data.transforms import augmentation
from medseg.errors import UsageError
from medseg.experience import Experience
from medseg.inference import device as devices
from medseg.recipe import Plan
from medseg.survey import survey as surveys
from medseg.survey.survey import Survey
from medseg.task import Task
from medseg.training import curves, fingerprint, initial
from medseg.training.callbacks import Overseer, Report, StoppedAtOnceError
from medseg.training.fingerprint import Fingerprint
from medseg.training.module import SegmentationModule
from medseg.training.plan import build_network, resolve, sized
from medseg.training.prior import begin_at_frequency
from medseg.training.run_folder import (
    AUTO,
    Request,
    RunFolder,
    read_metrics,
    read_request,
    read_split,
    start,
    write_split,
)
from medseg.training.schedule import Progress

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

    def on_init(self, report: weights.Report) -> None:
        """Take note of what became of the weights to begin with."""

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
    training: list[StoredCase]
    held_out: list[StoredCase]


def fit(request: Request, folder: RunFolder, listener: Listener) -> Outcome:
    """Train as `request` asks, in a new run folder.

    Raises:
        UsageError: A setting is wrong, or there is a run in the folder already.
        DataError: The data are incomplete or contradict the task.
        ImageError: A scan cannot be used.
        OutputError: The folder cannot be written.
    """
    return _begin(request, folder, listener, anew=False)


def resume(folder: RunFolder, listener: Listener) -> Outcome:
    """Go on with an interrupted run as if it had never stopped.

    The cases and the task are those the run began with, whatever became of their files since. A
    run that never reached its first checkpoint begins anew. One that ended is not trained further;
    its model and curves are written once more from what it noted last.

    Raises:
        UsageError: There is no run in the folder, or one of its files is damaged.
    """
    request = read_request(folder)
    if not folder.checkpoint.exists():
        return _begin(request, folder, listener, anew=True)
    parts = read_split(folder)
    with _explained(folder):
        task = tasks.parse(folder.task.read_text(encoding="utf-8"), where=folder.task)
        plan = recipes.read_plan(folder.plan.read_text(encoding="utf-8"), where=folder.plan)
        checkpoint = torch.load(folder.checkpoint, weights_only=True, map_location="cpu")
        first = int(checkpoint["global_step"])
        noted = checkpoint["medseg"]
    if noted["finished"]:
        weights = noted["average"]["weights"]
        return _written(folder, task, plan, weights, finished=True, dice=_last_dice(folder))
    prepared = _prepare(folder, task, plan, parts, listener)
    network = build_network(plan.network, task)  # its weights are in the checkpoint
    module = _module(network, prepared, request, elapsed=0.0)
    return _train(module, prepared, folder, _device(request), listener, first=first)


def _begin(request: Request, folder: RunFolder, listener: Listener, *, anew: bool) -> Outcome:
    clock = Progress(1, None)
    for place in request.init:
        initial.read(Path(place))  # a wrong file is found before the data are looked for
    asked = None if request.task == AUTO else tasks.read(request.task)
    matched = layouts.find(Path(request.data), asked, request.numbering)
    task = matched.task
    recipe = recipes.for_network(request.network, _settings(request), name=request.recipe)
    device = _device(request)
    with torch.device("meta"):  # a wrong option is found before the data are read
        build_network(sized(recipe.network, device), task)
    cases = layouts.require_labelled(matched.data_set)
    published = matched.data_set.splits
    parts = folds.choose(cases, published, name=request.split, fold=request.fold)
    start(folder, request, task, anew=anew)
    write_split(folder, parts)
    data = _checked(matched, parts, listener)
    pretrained = any(initial.is_public(Path(place)) for place in request.init)
    plan = resolve(recipe, task, data, device, cases=len(parts.training), pretrained=pretrained)
    files.write_text(folder.plan, recipes.plan_text(plan))
    if data.experience is not None:
        files.write_text(folder.experience, experiences.text(data.experience))
    network, given = _fresh(plan, task, request, listener)  # may refuse: before cases are prepared
    prepared = _prepare(folder, task, plan, parts, listener)
    if getattr(network, "HEAD_BIAS", None) not in given:
        begin_at_frequency(network, task, prepared.training)
    module = _module(network, prepared, request, elapsed=clock.elapsed_seconds)
    return _train(module, prepared, folder, device, listener, first=0)


def _settings(request: Request) -> tuple[str, ...]:
    epochs = () if request.epochs is None else (f"training.epochs={request.epochs}",)
    return (*request.settings, *epochs)


def _device(request: Request) -> torch.device:
    return devices.choose(cast("devices.DeviceChoice", request.device))


def _checked(matched: Matched, parts: Split, listener: Listener) -> Fingerprint:
    """Look at every case; measure only those that are trained on."""
    total = len(parts.cases)
    survey = surveys.look(matched, parts, on_case=lambda _: listener.on_case("checking", total))
    surveys.require_usable(survey)
    listener.on_survey(survey)
    return fingerprint.of(survey.of(parts.training), matched.task)


def _prepare(folder: RunFolder, task: Task, plan: Plan, parts: Split, listener: Listener) -> _Data:
    listener.on_plan(plan, parts)
    held_out = parts.validation[: plan.training.validation_cases]
    total = len(parts.training) + len(held_out)

    def prepared(cases: tuple[Case, ...]) -> list[StoredCase]:
        return store.build(
            folder.cache, cases, task, plan, on_case=lambda _: listener.on_case("preparing", total)
        )

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
    device: torch.device,
    listener: Listener,
    *,
    first: int,
) -> Outcome:
    overseer = Overseer(
        folder, data.held_out, on_step=listener.on_step, on_interrupt=listener.on_interrupt
    )
    loader = _loader(data, first, module.progress.total_steps, device)
    try:
        with _quiet(), _interruptible(overseer.interrupt), _workers_watched():
            _trainer(data.plan, device, overseer).fit(
                module,
                train_dataloaders=loader,
                ckpt_path=folder.checkpoint if first else None,
                weights_only=True,
            )
    except StoppedAtOnceError as error:
        raise KeyboardInterrupt from error
    return _written(
        folder,
        data.task,
        data.plan,
        module.average.weights,
        finished=overseer.finished,
        dice=overseer.dice,
    )


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
    bundle = bundles.write(folder.bundle, task, plan, weights, experience=_experience(folder))
    if finished:
        shutil.rmtree(folder.cache, ignore_errors=True)
    return Outcome(bundle, finished, dice)


def _experience(folder: RunFolder) -> Experience | None:
    """Read what the run noted of its cases; runs of older versions noted nothing."""
    path = folder.experience
    return experiences.parse(path.read_text("utf-8"), where=path) if path.is_file() else None


def _last_dice(folder: RunFolder) -> float:
    rows = read_metrics(folder.metrics)
    return rows[-1]["dice_mean"] if rows else float("nan")


def _trainer(plan: Plan, device: torch.device, overseer: Overseer) -> lightning.Trainer:
    return lightning.Trainer(
        accelerator="gpu" if device.type == "cuda" else "cpu",
        devices=1,
        precision="bf16-mixed" if plan.precision == "bfloat16" else "32-true",
        gradient_clip_val=plan.training.gradient_clip,
        max_epochs=1,  # the loader yields every step of the run, so that a resume needs no epochs
        callbacks=[overseer],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )


def _loader(data: _Data, first: int, last: int, device: torch.device) -> DataLoader[Batch | Failed]:
    settings = data.plan.training
    patches = Patches(
        data.training,
        data.plan.patch,
        augmentation(data.task, settings.augmentation),
        batch=data.plan.batch,
        foreground=settings.foreground,
        seed=settings.seed,
        first=first,
        last=last,
    )
    workers = 4 if device.type == "cuda" else 0  # on a CPU the network needs every core
    return DataLoader(
        patches,
        batch_size=None,
        num_workers=workers,
        multiprocessing_context="spawn" if workers else None,
        worker_init_fn=_ignore_interrupts,
        pin_memory=device.type == "cuda",
    )


@contextmanager
def _workers_watched() -> Iterator[None]:
    """Say what to do when the system ends a process that prepares patches."""
    try:
        yield
    except RuntimeError as error:
        if not str(error).startswith("DataLoader worker"):
            raise
        raise UsageError(
            "the system ended a process that prepares patches, most likely for want of memory",
            remedy="Close other programs, then go on with --resume",
        ) from error


def _ignore_interrupts(_worker: int) -> None:
    """Leave Ctrl-C to the main process, which stops the workers in order."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


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


@contextmanager
def _interruptible(handler: Callable[..., None]) -> Iterator[None]:
    """Let Ctrl-C ask for an orderly stop; only the main thread may listen for it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Lightning's notes on its own workings from the user; errors still come through."""
    logger = logging.getLogger("pytorch_lightning")
    level = logger.level
    logger.setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"pytorch_lightning\..*")
        warnings.filterwarnings("ignore", message=r".*does not have many workers.*")
        try:
            yield
        finally:
            logger.setLevel(level)
