"""What happens between steps: stopping, validation, metrics, checkpoints, progress."""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from types import FrameType
from typing import Any, cast

import pytorch_lightning as lightning
from pytorch_lightning import Trainer
from torch import Tensor

from medseg import files
from medseg.data.patches import Patches
from medseg.data.store import StoredCase
from medseg.shapes import LabelMap
from medseg.training import pictures, processes
from medseg.training.best import Best
from medseg.training.board import Board
from medseg.training.module import SegmentationModule
from medseg.training.run_folder import RunFolder, append_metrics, keep_metrics
from medseg.training.validation import MEAN, validate


@dataclass(frozen=True)
class Report:
    """How training stands.

    Attributes:
        step: Steps done.
        fraction: How much is done, 0 to 1.
        loss: Running mean of the loss.
        dice: Mean validation Dice, or NaN before the first validation.
        seconds_left: Until the end, estimated.
        epoch_ended: Whether an epoch just ended.
    """

    step: int
    fraction: float
    loss: float
    dice: float
    seconds_left: float
    epoch_ended: bool


class StoppedAtOnceError(Exception):
    """A second Ctrl-C; Lightning would end the program on a KeyboardInterrupt of its own."""


class Overseer(lightning.Callback):
    """Validates, notes and saves after every epoch, and stops when it is time.

    Args:
        folder: Where to note and save.
        held_out: Cases to validate on.
        on_step: Told after every step how training stands.
        on_interrupt: Told when Ctrl-C was pressed.
        on_best: Given the averaged weights after every epoch that is the best so far.

    Attributes:
        interrupted: Whether Ctrl-C was pressed.
        finished: Whether training came to its end.
    """

    def __init__(
        self,
        folder: RunFolder,
        held_out: list[StoredCase],
        *,
        on_step: Callable[[Report], None],
        on_interrupt: Callable[[], None],
        on_best: Callable[[dict[str, Tensor]], None],
    ) -> None:
        self.folder = folder
        self.held_out = held_out
        self.on_step = on_step
        self.on_interrupt = on_interrupt
        self.on_best = on_best
        self.best = Best()
        self.interrupted = False
        self.finished = False
        self.dice = float("nan")
        self._losses: list[float] = []
        self._board: Board | None = None

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run needs to write the same rows."""
        return {"losses": list(self._losses), "dice": self.dice, "best": self.best.state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from there."""
        self._losses = list(state_dict["losses"])
        self.dice = state_dict["dice"]
        if "best" in state_dict:  # older versions kept the last model alone
            self.best.load_state_dict(state_dict["best"])

    def interrupt(self, _signal: int, _frame: FrameType | None) -> None:
        """Ask for a stop after the current step; a second Ctrl-C stops at once.

        Raises:
            StoppedAtOnceError: It is the second.
        """
        if self.interrupted:
            raise StoppedAtOnceError
        self.interrupted = True
        self.on_interrupt()

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: lightning.LightningModule,
        outputs: Any,
        batch: Any,  # noqa: ARG002 - Lightning's signature
        batch_idx: int,  # noqa: ARG002
    ) -> None:
        """Average and note; at the end of an epoch validate and save; stop when it is time."""
        module = cast("SegmentationModule", pl_module)
        module.average.update(module.network)
        step = module.global_step
        self._losses.append(processes.mean(float(outputs["loss"]), module.device))
        fraction = processes.agreed(module.progress.fraction(step), module.device)
        self.finished = fraction >= 1.0
        loss = sum(self._losses) / len(self._losses)
        epoch_ended = step % module.plan.steps_per_epoch == 0 or self.finished
        if epoch_ended:
            self._end_epoch(module, step, loss)
        self._agree(module)
        left = module.progress.seconds_left(step)
        self.on_step(Report(step, fraction, loss, self.dice, left, epoch_ended))
        if self.finished or self.interrupted:
            trainer.should_stop = True
        if epoch_ended or self.interrupted:
            self._save(trainer)

    def _agree(self, module: SegmentationModule) -> None:
        """Do as the first process does, which alone validates and is asked to stop."""
        module.finished = self.finished = bool(processes.agreed(self.finished, module.device))
        self.interrupted = bool(processes.agreed(self.interrupted, module.device))

    def on_train_start(
        self,
        trainer: Trainer,
        pl_module: lightning.LightningModule,
    ) -> None:
        """Drop rows that a crash left behind the checkpoint; draw the first patches."""
        if processes.rank():
            return
        module, first = cast("SegmentationModule", pl_module), pl_module.global_step
        keep_metrics(self.folder.metrics, until_step=first)
        self._board = Board(self.folder.tensorboard, first=first + 1)
        patches = getattr(trainer.train_dataloader, "dataset", None)
        if first == 0 and isinstance(patches, Patches):
            path = self.folder.pictures / "patches.png"
            pictures.draw_patches(patches, module.task, module.plan.spacing_mm, path)

    def on_train_end(
        self,
        trainer: Trainer,  # noqa: ARG002 - Lightning's signature
        pl_module: lightning.LightningModule,  # noqa: ARG002
    ) -> None:
        """Close what was opened."""
        if self._board is not None:
            self._board.close()

    def on_exception(
        self,
        trainer: Trainer,
        pl_module: lightning.LightningModule,
        exception: BaseException,  # noqa: ARG002 - Lightning's signature
    ) -> None:
        """Do so when training fails, too."""
        self.on_train_end(trainer, pl_module)

    def _save(self, trainer: Trainer) -> None:
        """Write the checkpoint, whole or not at all; every process has to be there."""
        if processes.rank():
            trainer.save_checkpoint(self.folder.checkpoint)  # writes nothing
            return
        with files.replacing(self.folder.checkpoint) as temporary:
            trainer.save_checkpoint(temporary)

    def _end_epoch(self, module: SegmentationModule, step: int, loss: float) -> None:
        self._losses = []
        if processes.rank():
            return
        averaged = averaged_network(module)
        epoch = -(-step // module.plan.steps_per_epoch)
        drawn = self._drawer(module, epoch) if pictures.has_picture(epoch) else None
        scores = validate(averaged, self.held_out, module.task, module.plan, on_first=drawn)
        self.dice = scores[MEAN]
        if self.best.improves(self.dice):
            self.on_best(module.average.weights)
        patience = module.plan.training.patience
        if patience is not None and self.best.epochs_since >= patience:
            self.finished = True
        row = {
            "epoch": step / module.plan.steps_per_epoch,
            "step": step,
            "seconds": module.progress.elapsed_seconds,
            "learning_rate": module.trainer.optimizers[0].param_groups[0]["lr"],
            "loss": loss,
        }
        row |= {f"dice_{n}": v for n, v in scores.items()}
        append_metrics(self.folder.metrics, row)
        if self._board is not None:
            self._board.write(step, row)

    def _drawer(self, module: SegmentationModule, epoch: int) -> Callable[[LabelMap], None]:
        path = self.folder.pictures / f"epoch_{epoch:04d}.png"

        def draw(found: LabelMap) -> None:
            case, spacing_mm = self.held_out[0], module.plan.spacing_mm
            pictures.draw_prediction(case, found, module.task, spacing_mm, path)

        return draw


def averaged_network(module: SegmentationModule) -> Any:
    """Return a copy of the network with the averaged weights, in evaluation mode."""
    network = copy.deepcopy(module.network)
    network.load_state_dict(module.average.weights)
    return network.eval()
