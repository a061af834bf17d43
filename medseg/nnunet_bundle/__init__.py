"""An nnU-Net results folder read as a model: nothing in it is run, and nothing else is needed.

`DATASET/TRAINER__PLANS__CONFIGURATION` with `plans.json`, `dataset.json` and, for every fold,
`fold_N/checkpoint_final.pth`; or one of its folds. Several folds are averaged; see
`medseg.nnunet_bundle.folds` for which.

Source: Isensee et al. 2021, nnU-Net, https://doi.org/10.1038/s41592-020-01008-z
"""

import functools
import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from medseg import files
from medseg.errors import ModelError
from medseg.experience import Experience
from medseg.nnunet_bundle import description, folds, plans
from medseg.nnunet_bundle.plans import Configuration
from medseg.recipe import Inference, NetworkChoice, Plan, Training
from medseg.shapes import Box
from medseg.task import Task
from medseg.volume import Volume

if TYPE_CHECKING:
    from torch import nn

    from medseg.data.preprocessing import Prepared

PLANS: Final = "plans.json"
DESCRIPTION: Final = "dataset.json"
_STEP: Final = 0.5
"""Part of a patch by which nnU-Net moves on."""


@dataclass(frozen=True)
class NnunetBundle:
    """The networks of one or more folds, and all that is needed to apply them.

    Attributes:
        folder: Where they lie.
        task: What they segment.
        plan: The patch and the sliding window; the spacing is along the network's axes.
        configuration: How nnU-Net prepares images.
        checkpoints: One file per fold.
        mirror_axes: Axes of the network along which training mirrored.
        remarks: Which folds are used, where it is not all that there are, and why.
        experience: Always None: nnU-Net keeps too little of it.
    """

    folder: Path
    task: Task
    plan: Plan
    configuration: Configuration
    checkpoints: tuple[Path, ...]
    mirror_axes: tuple[int, ...]
    remarks: tuple[str, ...] = ()
    experience: Experience | None = None

    @functools.cached_property
    def hash(self) -> str:
        """SHA-256 of plans, description and weights together: two equal models share it."""
        paths = (self.folder / PLANS, self.folder / DESCRIPTION, *self.checkpoints)
        return hashlib.sha256("".join(map(files.sha256, paths)).encode()).hexdigest()

    @property
    def members(self) -> "tuple[NnunetBundle, ...]":
        """The folds, each by itself; nnU-Net averages their logits."""
        return tuple(replace(self, checkpoints=(path,)) for path in self.checkpoints)

    def build_network(self) -> "nn.Module":
        """Build the network of the only fold and load its weights; every weight must fit.

        Raises:
            ModelError: The network is none of nnU-Net's own, or the checkpoint is damaged, does not
                fit, or holds what no checkpoint of nnU-Net holds.
            ValueError: There are several folds.
        """
        from medseg.nnunet_bundle import architecture, checkpoint

        if len(self.checkpoints) > 1:
            raise ValueError("several folds have a network each: build those of the members")
        (path,) = self.checkpoints
        network = architecture.build(
            self.configuration.network,
            self.configuration.options,
            in_channels=len(self.task.channels),
            out_channels=self.task.out_channels,
            where=self.folder / PLANS,
        )
        filled = architecture.fill(network, checkpoint.read(path).weights, where=path)
        multiple = architecture.multiple_of(self.configuration.options["strides"])
        return architecture.AnySize(filled, multiple).eval()

    def prepare(self, volume: Volume, place: Box | None = None) -> "Prepared":
        """Order axes, crop, normalise and resample a scan as nnU-Net does; see `preparation`."""
        from medseg.nnunet_bundle import preparation

        return preparation.prepare(volume, self.configuration, place)


def is_results_folder(place: Path) -> bool:
    """Tell whether `place` looks like a results folder of nnU-Net, or one of its folds."""
    return (_model_folder(place) / PLANS).is_file()


def read(place: Path) -> NnunetBundle:
    """Read the results folder `place`, or the fold `place` alone.

    Raises:
        ModelError: A file is missing or damaged, or the model is of a kind that medseg lacks.
    """
    from medseg.nnunet_bundle import checkpoint

    folder = _model_folder(place)
    chosen = folds.one(place) if place.resolve() != folder.resolve() else folds.usual(folder)
    first = checkpoint.read(chosen.checkpoints[0])
    document = _json(folder / PLANS)
    configuration = plans.parse(document, first.configuration, where=folder / PLANS)
    task = description.task(
        _json(folder / DESCRIPTION),
        configuration,
        str(document.get("dataset_name", folder.parent.name)),
        where=folder / DESCRIPTION,
    )
    return NnunetBundle(
        folder,
        task,
        _plan(configuration),
        configuration,
        chosen.checkpoints,
        first.mirror_axes,
        chosen.remarks,
    )


def _model_folder(place: Path) -> Path:
    """Return the folder of the configuration that `place` is, or that it is a fold of."""
    resolved = place.resolve()
    return resolved.parent if resolved.name.startswith("fold_") else place


def _plan(configuration: Configuration) -> Plan:
    """Return the sliding window of nnU-Net; what concerns training is empty of meaning."""
    return Plan(
        network=NetworkChoice(name=configuration.network.rpartition(".")[2]),
        patch=configuration.patch,
        spacing_mm=configuration.spacing_mm,
        batch=1,
        steps_per_epoch=1,
        precision="float32",
        training=Training(),
        inference=Inference(overlap=1 - _STEP, batch=1, blend="nnunet"),
    )


def _json(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(document, dict):
            raise TypeError("no object")
        return document
    except (OSError, ValueError, TypeError) as error:
        raise ModelError(
            "is missing or is not JSON",
            where=path,
            remedy="Copy the folder anew from where it was trained",
        ) from error
