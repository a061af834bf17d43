"""Segmenting from Python: `medseg.predict` for one scan, `medseg.Predictor` for many."""

import threading
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

from medseg import model_list
from medseg.data.cases import read_image, require_usable
from medseg.errors import UsageError
from medseg.formats import ANY, Choice
from medseg.inference import device as devices
from medseg.inference import predict as prediction
from medseg.inference.device import DeviceChoice
from medseg.inference.options import Options
from medseg.inference.reduction import Reducing
from medseg.inference.scans import by_channel, find
from medseg.model import Model
from medseg.segmentation import Segmentation
from medseg.task import Task
from medseg.volume import Volume

GivenScan = str | Path | Volume | Mapping[str, str | Path]
"""A file, a case folder or a folder of DICOM slices; voxels on their grid, with the channels in the
task's order; or a file for each channel by name."""

GivenModel = str | Path | Sequence[str | Path] | None
"""A model, several, or None for the only one there is."""


class Predictor:
    """A model that stays loaded. It may be called from several threads at once.

    Reading and resampling then go on side by side, and the network takes one scan at a time, so
    that the memory it needs does not grow with the number of threads. Where memory runs out, a
    warning says what was made smaller.

    Args:
        model: Run folder, bundle, results folder of nnU-Net, or name of an installed model;
            None for the only one there is; of several, the probabilities are averaged.
        device: `auto` takes a GPU if there is one.
        options: What is chosen between time and care.

    Raises:
        ModelError: There is no such model, or it is damaged.
        UsageError: A GPU was asked for and there is none, or the models segment different things.
    """

    def __init__(
        self,
        model: GivenModel = None,
        *,
        device: DeviceChoice = "auto",
        options: Options | None = None,
    ) -> None:
        first, *others = _models(model)
        for one in (first, *others):
            for remark in one.remarks:
                warnings.warn(f"{one.folder}: {remark}", stacklevel=2)
        loaded = prediction.load(first, devices.choose(device), options, others=tuple(others))
        self._reducing = Reducing(loaded, lambda text: warnings.warn(text, stacklevel=6))
        self._network = threading.Lock()

    @property
    def task(self) -> Task:
        """What the model segments."""
        return self._reducing.predictor.bundle.task

    def __call__(self, scan: GivenScan, *, choice: Choice = ANY) -> Segmentation:
        """Segment a scan on its own grid.

        Args:
            scan: See `GivenScan`.
            choice: Which image is meant where a file or folder holds several.

        Raises:
            ImageError: The scan cannot be read or used.
            UsageError: A folder holds several scans, or a channel is missing or none of the task's.
        """
        bundle = self._reducing.predictor.bundle
        ready = prediction.make_ready(self._reducing.predictor, _volume(scan, bundle.task, choice))
        with self._network:
            return self._reducing.run(lambda less: prediction.predict_prepared(less, ready))


def predict(
    scan: GivenScan,
    model: GivenModel = None,
    *,
    device: DeviceChoice = "auto",
    choice: Choice = ANY,
    options: Options | None = None,
) -> Segmentation:
    """Segment one scan on its own grid; for several, keep a `Predictor`.

    Args:
        scan: See `GivenScan`.
        model: Run folder, bundle, results folder of nnU-Net, or name of an installed model;
            None for the only one there is; of several, the probabilities are averaged.
        device: `auto` takes a GPU if there is one.
        choice: Which image is meant where a file or folder holds several.
        options: What is chosen between time and care.

    Raises:
        ImageError: The scan cannot be read or used.
        ModelError: There is no such model, or it is damaged.
        UsageError: A folder holds several scans, or a channel is missing or none of the task's.
    """
    return Predictor(model, device=device, options=options)(scan, choice=choice)


def _models(model: GivenModel) -> list[Model]:
    named = [model] if model is None or isinstance(model, str | Path) else list(model)
    return [model_list.choose(None if one is None else Path(one)) for one in named or [None]]


def _volume(scan: GivenScan, task: Task, choice: Choice) -> Volume:
    if isinstance(scan, Volume):
        require_usable(scan, task, where="the volume given")
        return scan
    if isinstance(scan, Mapping):
        found = [by_channel({name: Path(path) for name, path in scan.items()}, task)]
    else:
        found = find([Path(scan)], task, series=choice.series)
    if len(found) > 1:
        names = ", ".join(one.case.name for one in found[:5]) + ", ..." * (len(found) > 5)
        raise UsageError(
            f"{scan} holds {len(found)} scans: {names}",
            remedy="Give one of them, or call a Predictor for each",
        )
    if found[0].fault is not None:
        raise found[0].fault
    return read_image(found[0].case, task, choice)
