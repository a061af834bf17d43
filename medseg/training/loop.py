"""The loop itself: Lightning's trainer, the patches it is fed, and what may interrupt it."""

import logging
import signal
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytorch_lightning as lightning
import torch
from pytorch_lightning.strategies import DDPStrategy
from torch.utils.data import DataLoader

from medseg.data.patches import Batch, Failed, Patches
from medseg.data.store import StoredCase
from medseg.data.transforms import augmentation
from medseg.errors import UsageError
from medseg.recipe import Plan
from medseg.task import Task
from medseg.training import processes
from medseg.training.callbacks import Overseer, StoppedAtOnceError
from medseg.training.module import SegmentationModule


@dataclass(frozen=True)
class Machines:
    """Where a run computes: a process for each of `devices` on each of `nodes` machines."""

    device: torch.device
    devices: int = 1
    nodes: int = 1


def run(
    module: SegmentationModule,
    cases: list[StoredCase],
    overseer: Overseer,
    machines: Machines,
    *,
    checkpoint: Path | None,
    first: int,
) -> None:
    """Train `module` until the overseer says that it is enough.

    Args:
        module: A network with its task and plan.
        cases: To train on.
        overseer: Validates, notes, saves and stops.
        machines: Where to compute.
        checkpoint: What to go on from, or None.
        first: The step to begin with.

    Raises:
        KeyboardInterrupt: Ctrl-C was pressed twice.
        UsageError: The loss is not finite, or the system ended a process that prepares patches.
        DataError: A patch could not be made.
        OutputError: A checkpoint could not be written.
    """
    last, device = module.progress.total_steps, machines.device
    loader = _loader(cases, module.task, module.plan, device, first=first, last=last)
    try:
        with _quiet(), _interruptible(overseer.interrupt), workers_watched():
            _trainer(module.plan, device, overseer, machines).fit(
                module, train_dataloaders=loader, ckpt_path=checkpoint, weights_only=True
            )
    except StoppedAtOnceError as error:
        raise KeyboardInterrupt from error


def _trainer(
    plan: Plan, device: torch.device, overseer: Overseer, machines: Machines
) -> lightning.Trainer:
    together = DDPStrategy(find_unused_parameters=True, timeout=processes.PATIENCE)
    return lightning.Trainer(
        accelerator="gpu" if device.type == "cuda" else "cpu",
        devices=machines.devices,
        num_nodes=machines.nodes,
        strategy=together if processes.count() > 1 else "auto",
        precision="bf16-mixed" if plan.precision == "bfloat16" else "32-true",
        gradient_clip_val=plan.training.gradient_clip,
        max_epochs=1,  # the loader yields every step of the run, so that a resume needs no epochs
        callbacks=[overseer],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )


def _loader(
    cases: list[StoredCase],
    task: Task,
    plan: Plan,
    device: torch.device,
    *,
    first: int,
    last: int,
) -> DataLoader[Batch | Failed]:
    settings = plan.training
    patches = Patches(
        cases,
        plan.patch,
        augmentation(task, settings.augmentation),
        batch=plan.batch,
        foreground=settings.foreground,
        seed=settings.seed,
        first=first,
        last=last,
        share=(processes.rank(), processes.count()),
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
def workers_watched() -> Iterator[None]:
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
