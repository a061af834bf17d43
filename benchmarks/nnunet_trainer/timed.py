"""nnU-Net's trainer with a schedule that ends when the time is up.

nnU-Net finds it through the environment variable `nnUNet_extTrainer`. Everything but the length of
epochs and of training is nnU-Net's own. The clock runs while it trains: making patches counts,
validation, checkpoints and plots do not.
"""

import json
import os
import time
from pathlib import Path
from typing import Any

import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer


class TimedTrainer(nnUNetTrainer):
    """Trains for `TIMED_SECONDS` seconds in `TIMED_THREADS` threads, both from the environment."""

    def __init__(
        self,
        plans: dict[str, Any],
        configuration: str,
        fold: int,
        dataset_json: dict[str, Any],
        device: torch.device,
    ) -> None:
        super().__init__(plans, configuration, fold, dataset_json, device)
        self.seconds = float(os.environ["TIMED_SECONDS"])
        self.num_iterations_per_epoch = (
            5  # so that the rate falls in many steps, and little time is left
        )
        self.num_val_iterations_per_epoch = 1  # only its log reads them

    def run_training(self) -> None:
        """Train until another epoch would not end in time.

        How many epochs there will be follows from those so far, and nnU-Net's rate from that.
        """
        torch.set_num_threads(int(os.environ["TIMED_THREADS"]))
        self.on_train_start()
        used = 0.0
        while self.current_epoch < self.num_epochs:
            self.lr_scheduler.max_steps = self.num_epochs
            self.on_epoch_start()
            start = time.monotonic()
            self.on_train_epoch_start()
            done = range(self.num_iterations_per_epoch)
            outputs = [self.train_step(next(self.dataloader_train)) for _ in done]
            used += time.monotonic() - start
            self.on_train_epoch_end(outputs)
            self._look_at_one_validation_batch()
            self.on_epoch_end()
            epochs_left = int((self.seconds - used) * self.current_epoch / used)
            self.num_epochs = self.current_epoch + max(0, epochs_left)
        self.on_train_end()
        steps = self.current_epoch * self.num_iterations_per_epoch
        record = {"steps": steps, "seconds": used, "batch": self.batch_size}
        Path(self.output_folder, "clock.json").write_text(json.dumps(record))

    def _look_at_one_validation_batch(self) -> None:
        with torch.no_grad():
            self.on_validation_epoch_start()
            self.on_validation_epoch_end([self.validation_step(next(self.dataloader_val))])
