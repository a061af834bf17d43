"""One optimisation step, as a LightningModule."""

from typing import Any, Final

import pytorch_lightning as lightning
import torch
from jaxtyping import Float32
from torch import Tensor, nn

from medseg.data.patches import Batch, Failed
from medseg.errors import UsageError
from medseg.recipe import Plan
from medseg.regions import patterns
from medseg.task import Task
from medseg.training import processes
from medseg.training.average import WeightAverage
from medseg.training.losses import supervised
from medseg.training.schedule import Progress, learning_rate

NOT_DECAYED: Final = ("bias", "relative_position_bias_table", "A_logs", "Ds")
"""How the names of parameters end that weight decay would pull away from what they mean, whatever
their shape: constants that are added, tables of them, rates of decay and skips of a state space.

Source: Liu et al. 2021, Swin transformer, https://arxiv.org/abs/2103.14030, and Gu & Dao 2023,
Mamba, https://arxiv.org/abs/2312.00752, whose code excepts tables, or rates and skips, likewise
"""


def is_decayed(name: str, parameter: Tensor) -> bool:
    """Return whether weight decay acts on a parameter: not on scales and biases of any shape."""
    return parameter.ndim > 1 and not name.endswith(NOT_DECAYED)


class SegmentationModule(lightning.LightningModule):
    """A network that learns a task as its plan says.

    Every step seeds torch from the plan's seed and the step's number, so that dropout after a
    resume is what it would have been, and no random state need be stored.
    """

    targets: Tensor

    def __init__(self, network: nn.Module, task: Task, plan: Plan, progress: Progress) -> None:
        super().__init__()
        self.network = network
        self.task = task
        self.plan = plan
        self.progress = progress
        self.average = WeightAverage(network, plan.training.average)
        self.finished = False  # decided once a step, when the step is done
        self.register_buffer("targets", label_targets(task), persistent=False)

    def training_step(self, batch: Batch | Failed, batch_index: int) -> Tensor:  # noqa: ARG002 - Lightning's signature
        """Return the loss of a batch.

        Raises:
            DataError: The batch could not be made.
            UsageError: The loss is not finite.
        """
        if isinstance(batch, Failed):
            raise batch.error()
        step_seed = self.plan.training.seed * 1_000_003 + self.global_step
        torch.manual_seed(step_seed + processes.rank() * 2_000_003_001)  # no two drop the same
        targets = self.targets[batch.labels].movedim(-1, 1)
        scales, weights = self._scales(batch.images)
        loss = supervised(scales, weights, targets, exclusive=self.task.exclusive)
        if not torch.isfinite(loss):
            raise UsageError(
                f"the loss became {loss.item():g} at step {self.global_step}",
                remedy="Lower the learning rate with --set training.learning_rate=0.0001",
            )
        return loss

    def _scales(self, images: Tensor) -> tuple[list[Tensor], tuple[float, ...]]:
        """Return the logits that count, and how much each does."""
        deep = getattr(self.network, "deep_supervision", None)
        if deep is None or not self.plan.training.deep_supervision:
            return [self.network(images)], (1.0,)
        weights: tuple[float, ...] = self.network.SUPERVISION  # type: ignore[assignment]
        return deep(images), weights

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return the recipe's optimizer; what `is_decayed` excepts is not decayed."""
        settings = self.plan.training
        groups: list[dict[str, Any]] = [
            {"params": [], "weight_decay": settings.weight_decay},
            {"params": [], "weight_decay": 0.0},
        ]
        for name, parameter in self.network.named_parameters():
            groups[0 if is_decayed(name, parameter) else 1]["params"].append(parameter)
        if settings.optimizer == "sgd":
            return torch.optim.SGD(
                groups,
                lr=settings.learning_rate,
                momentum=settings.momentum,
                nesterov=settings.nesterov and settings.momentum > 0,
            )
        return torch.optim.AdamW(groups, lr=settings.learning_rate)

    def on_train_batch_start(self, batch: Batch | Failed, batch_idx: int) -> None:  # noqa: ARG002 - Lightning's
        """Set the learning rate that the progress asks for."""
        settings = self.plan.training
        rate = learning_rate(
            processes.agreed(self.progress.fraction(self.global_step), self.device),
            peak=settings.learning_rate,
            warm_up=settings.warm_up,
            decay=settings.decay,
        )
        for group in self.trainer.optimizers[0].param_groups:
            group["lr"] = rate

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add what Lightning does not know: the averaged weights and the time used."""
        checkpoint["medseg"] = {
            "average": self.average.state_dict(),
            "elapsed_seconds": self.progress.elapsed_seconds,
            "finished": self.finished,
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take it back."""
        self.average.load_state_dict(checkpoint["medseg"]["average"])
        self.progress.add_elapsed(checkpoint["medseg"]["elapsed_seconds"])


def label_targets(task: Task) -> Float32[Tensor, "labels outputs"]:
    """Return, for each label index, which outputs should be on; index 0 is background."""
    values, table = patterns(task)
    order = [values.index(0), *(values.index(label.value) for label in task.labels.values())]
    return torch.from_numpy(table[order])
