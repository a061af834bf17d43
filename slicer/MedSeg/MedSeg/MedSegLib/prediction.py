"""A prediction: the command that is run, and what its lines say of how far it is."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Optional

from MedSegLib.call import Call
from MedSegLib.models import Model
from MedSegLib.process import Process

DEVICES = ("auto", "cpu", "cuda")

_STEPS = {
    "start": "Loading the model",
    "reading": "Reading the scan",
    "segmenting": "Segmenting",
    "writing": "Writing the segmentation",
    "done": "Done",
}


def scan_file(folder: Path, channel: str) -> Path:
    """Return where a channel is written for medseg; no name of the scene enters it."""
    return folder / f"scan_{channel}.nii"


def arguments(
    model: Model, files: Mapping[str, Path], folder: Path, *, device: str = "auto"
) -> list[str]:
    """Return what medseg is called with to segment the channels `files` into `folder`."""
    named = [part for channel in model.channels for part in _option(channel.name, files)]
    return [
        "predict",
        *named,
        *("--model", model.name),
        *("--output", str(folder)),
        *("--format", "seg.nrrd"),
        *("--device", device),
        "--json-progress",
    ]


class Prediction(Call):
    """A running `medseg predict --json-progress` of one scan.

    Attributes:
        text: What it does now, for people.
        fraction: How much is done, from 0 to 1; None where it cannot be told.
        output_file: The segmentation, once it is written.
    """

    def __init__(self, process: Process) -> None:
        super().__init__(process)
        self.text = "Starting medseg"
        self.fraction: Optional[float] = None
        self.output_file: Optional[Path] = None
        self._failure: Optional[str] = None

    def _take(self, line: str) -> None:
        """Take note of a line of progress; another line is no error."""
        try:
            told = json.loads(line)
            step = told["step"]
        except (ValueError, KeyError, TypeError):
            self.log.append(line)
            return
        self.text = _STEPS.get(step, str(step).capitalize())
        self.fraction = told.get("fraction")
        if step == "done":
            self.output_file = Path(told["output"])
            self.fraction = 1.0
        elif step == "failed":
            self._failure = told["error"]

    def _judge(self, code: int) -> Optional[str]:
        error = super()._judge(code)
        if self.cancelled or (error is None and self.output_file is not None):
            return error
        return self._failure or error or "medseg ended without a segmentation"


def _option(channel: str, files: Mapping[str, Path]) -> tuple[str, str]:
    return "--channel", f"{channel}={files[channel]}"
