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
from typing import Literal, Protocol, cast, runtime_checkable

import pytorch_lightning as lightning
import torch
from torch.utils.data import DataLoader

from medseg import bundle as bundles
from medseg import files, model_list
from medseg import recipe as recipes
from medseg import task as tasks
from medseg.bundle import Bundle
from medseg.data import layouts, store
from medseg.data.cases import Case
from medseg.data.folds import Split, split
from medseg.data.patches import Batch, Patches
from medseg.data.store import StoredCase
from medseg.data.transforms import augmentation
from medseg.errors import UsageError
from medseg.inference import device as devices
from medseg.recipe import Plan
from medseg.task import Task
from medseg.training import curves, fingerprint
from medseg.training.callbacks import Overseer, Report, averaged_network
from medseg.training.module import SegmentationModule
from medseg.training.plan import build_network, resolve
from medseg.training.run_folder import (
    Request,
    RunFolder,
    read_metrics,
    read_request,
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

    def on_plan(self, plan: Plan, split: Split) -> None:
        """Take note of what will be trained on what."""

    def on_step(self, report: Report) -> None:
        """Take note of a step."""


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
    begun = Progress(1, None)
    task = tasks.read(request.task)
    parts = split(layouts.cases(Path(request.data), task), request.fold)
    recipe = recipes.for_network(request.network, _settings(request))
    device = devices.choose(cast("devices.DeviceChoice", request.device))
    start(folder, request)
    everyone = parts.training + parts.held_out
    data = fingerprint.measure(
        everyone, task, on_case=lambda _: listener.on_case("checking", len(everyone))
    )
    plan = resolve(recipe, task, data, device, cases=len(parts.training))
    files.write_text(folder.plan, recipes.plan_text(plan))
    write_split(folder, parts)
    prepared = _prepare(folder, task, plan, parts, listener)
    return _train(prepared, request, folder, listener, begun.elapsed_seconds)


def resume(folder: RunFolder, listener: Listener) -> Outcome:
    """Go on with an interrupted run as if it had never stopped.

    Raises:
        UsageError: There is no run in the folder, or it ended already.
    """
    request = read_request(folder)
    if not folder.checkpoint.exists():
        raise UsageError(
            "this run stopped before its first checkpoint",
            where=folder.path,
            remedy="Delete the folder and start anew",
        )
    task = tasks.read(request.task)
    plan = recipes.read_plan(folder.plan.read_text(encoding="utf-8"), where=folder.plan)
    parts = split(layouts.cases(Path(request.data), task), request.fold)
    prepared = _prepare(folder, task, plan, parts, listener)
    return _train(prepared, request, folder, listener, 0.0)


def _settings(request: Request) -> tuple[str, ...]:
    epochs = () if request.epochs is None else (f"training.epochs={request.epochs}",)
    return (*request.settings, *epochs)


def _prepare(folder: RunFolder, task: Task, plan: Plan, parts: Split, listener: Listener) -> _Data:
    listener.on_plan(plan, parts)
    held_out = parts.held_out[: plan.training.validation_cases]
    total = len(parts.training) + len(held_out)

    def prepared(cases: tuple[Case, ...]) -> list[StoredCase]:
        return store.build(
            folder.cache, cases, task, plan, on_case=lambda _: listener.on_case("preparing", total)
        )

    return _Data(task, plan, training=prepared(parts.training), held_out=prepared(held_out))


def _train(
    data: _Data, request: Request, folder: RunFolder, listener: Listener, elapsed: float
) -> Outcome:
    plan = data.plan
    total_steps = plan.training.epochs * plan.steps_per_epoch
    device = devices.choose(cast("devices.DeviceChoice", request.device))
    resuming = folder.checkpoint.exists()
    first = _steps_done(folder.checkpoint) if resuming else 0
    torch.manual_seed(plan.training.seed)
    network = build_network(plan.network, data.task)
    progress = Progress(total_steps, request.max_seconds, elapsed_before=elapsed)
    module = SegmentationModule(network, data.task, plan, progress)
    overseer = Overseer(folder, data.held_out, listener.on_step)
    if first < total_steps:
        with _quiet(), _interruptible(overseer.interrupt):
            _trainer(plan, device, overseer).fit(
                module,
                train_dataloaders=_loader(data, first, total_steps, device),
                ckpt_path=folder.checkpoint if resuming else None,
                weights_only=True,
            )
    return _finish(module, overseer, folder)


def _finish(module: SegmentationModule, overseer: Overseer, folder: RunFolder) -> Outcome:
    rows = read_metrics(folder.metrics)
    curves.draw(rows, folder.curves)
    weights = averaged_network(module).state_dict()
    bundle = bundles.write(folder.bundle, module.task, module.plan, weights)
    model_list.add(bundle)
    finished = not overseer.interrupted
    if finished:
        shutil.rmtree(folder.cache, ignore_errors=True)
    return Outcome(bundle, finished, overseer.dice)


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


def _loader(data: _Data, first: int, last: int, device: torch.device) -> DataLoader[Batch]:
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
        pin_memory=device.type == "cuda",
    )


def _steps_done(checkpoint: Path) -> int:
    return int(torch.load(checkpoint, weights_only=True, map_location="cpu")["global_step"])


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
