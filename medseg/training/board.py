"""Scalars for TensorBoard, where it is installed (`pip install medseg[tensorboard]`)."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any


class Board:
    """Writes a row of metrics into a folder that TensorBoard shows; nothing if it is not installed.

    Args:
        folder: Made with the first row.
        first: The step to begin with; what a crash left of later ones is hidden.
    """

    def __init__(self, folder: Path, *, first: int) -> None:
        self._folder = folder
        self._first = first
        self._writer: Any = None

    def write(self, step: int, row: dict[str, float]) -> None:
        """Write what the metrics say of an epoch that ended with `step`."""
        if find_spec("tensorboard") is None:
            return
        if self._writer is None:
            from torch.utils.tensorboard import SummaryWriter

            self._writer = SummaryWriter(str(self._folder), purge_step=self._first)
        for name, value in row.items():
            self._writer.add_scalar(name, value, step)
        self._writer.flush()

    def close(self) -> None:
        """End its thread."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None
