"""What training hands to inference: a folder that describes itself and is never unpickled.

| File | Holds |
|---|---|
| `task.yaml` | the task |
| `plan.yaml` | the recipe with nothing left open |
| `weights.safetensors` | the network's weights, in float32, or in bfloat16 to be small |
| `experience.yaml` | what the training cases were like; absent in older bundles |
| `MODEL_CARD.md` | data, licence, scores and limits; only in models that are handed on |
| `manifest.json` | the format's version, medseg's version, and the SHA-256 of the other files |
"""

import hashlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from medseg import experience as experiences
from medseg import files
from medseg import recipe as recipes
from medseg import task as tasks
from medseg.errors import ModelError, UsageError
from medseg.experience import Experience
from medseg.recipe import Plan
from medseg.shapes import Box
from medseg.task import Task
from medseg.version import __version__
from medseg.volume import Volume

if TYPE_CHECKING:
    from torch import Tensor, nn

    from medseg.data.preprocessing import Prepared

FORMAT: Final = 1
MANIFEST: Final = "manifest.json"
_TASK, _PLAN, _WEIGHTS = "task.yaml", "plan.yaml", "weights.safetensors"
_EXPERIENCE = "experience.yaml"
CARD: Final = "MODEL_CARD.md"
FILES: Final = (_TASK, _PLAN, _WEIGHTS, _EXPERIENCE, CARD)
"""What a bundle may hold beside its manifest."""


@dataclass(frozen=True)
class Bundle:
    """A trained network and all that is needed to apply it.

    Attributes:
        folder: Where it lies.
        task: What it segments.
        plan: How images are prepared and the network is applied.
        experience: What the training cases were like, or None if it is not known.
    """

    folder: Path
    task: Task
    plan: Plan
    experience: Experience | None = None

    @property
    def weights(self) -> Path:
        """The file of the network's weights."""
        return self.folder / _WEIGHTS

    @property
    def card(self) -> str | None:
        """What its makers say of it: data, licence, scores and limits; None if nothing."""
        path = self.folder / CARD
        return path.read_text(encoding="utf-8") if path.is_file() else None

    def read_weights(self) -> "dict[str, Tensor]":
        """Read the weights as float32, whatever they are stored in.

        Raises:
            OSError: They cannot be read.
            SafetensorError: They are damaged.
        """
        import torch
        from safetensors.torch import load_file

        stored = load_file(self.weights)
        return {n: w.float() if w.dtype == torch.bfloat16 else w for n, w in stored.items()}

    @property
    def hash(self) -> str:
        """SHA-256 of the task, the plan and the weights together: two equal models share it."""
        hashes = _hashes(self.folder)
        together = "".join(hashes[name] for name in (_TASK, _PLAN, _WEIGHTS))
        return hashlib.sha256(together.encode()).hexdigest()

    @property
    def mirror_axes(self) -> tuple[int, ...]:
        """Axes of the network along which a scan may be mirrored; they are RAS+."""
        return tuple("xyz".index(axis) for axis in self.task.mirror_axes)

    @property
    def remarks(self) -> tuple[str, ...]:
        """What a user should know of how it was read: nothing."""
        return ()

    @property
    def members(self) -> "tuple[Bundle, ...]":
        """The models with one network each that this one is the mean of: itself alone."""
        return (self,)

    def build_network(self) -> "nn.Module":
        """Build the network and load its weights; every weight must fit.

        Raises:
            ModelError: This medseg lacks the network or one of its options, or the weights are
                damaged or belong to another network.
        """
        from safetensors import SafetensorError

        from medseg import networks
        from medseg.blocks.unet_inference import hastened

        try:
            network = networks.build(
                self.plan.network.name,
                in_channels=len(self.task.channels),
                out_channels=self.task.out_channels,
                **self.plan.network.options,
            )
        except ModuleNotFoundError as error:
            raise ModelError(
                f"needs {error.name}, which is not installed",
                where=self.folder,
                remedy="Install it: 'pip install nnunetv2' brings what the control network needs",
            ) from error
        except (ValueError, TypeError) as error:
            raise ModelError(
                f"needs a {self.plan.network.name} that this medseg cannot build: {error}",
                where=self.folder,
                remedy="Use the version of medseg that trained it",
            ) from error
        try:
            network.load_state_dict(self.read_weights(), strict=True)
        except (RuntimeError, OSError, SafetensorError) as error:
            raise ModelError(
                f"does not fit {self.plan.network.name}: {' '.join(str(error).split()):.200}",
                where=self.weights,
                remedy="Copy the bundle anew from where it was trained",
            ) from error
        return hastened(network.eval())

    def prepare(self, volume: Volume, place: Box | None = None) -> "Prepared":
        """Orient, normalise and resample a scan as in training; `place`: only that of the image."""
        from medseg.data import preprocessing

        return preprocessing.prepare_on_demand(volume, self.task, self.plan, place)


def write(
    folder: Path,
    task: Task,
    plan: Plan,
    weights: "dict[str, Tensor]",
    *,
    experience: Experience | None = None,
    card: str | None = None,
    half: bool = False,
) -> Bundle:
    """Write a bundle whole, then put it in the place of an older one.

    Args:
        folder: Where to.
        task: What it segments.
        plan: How images are prepared and the network is applied.
        weights: Of the network.
        experience: What the training cases were like, if that is known.
        card: Markdown for the people it is handed on to.
        half: Store the weights as bfloat16: half as large, and rounded to 8 bits of precision.

    Raises:
        OutputError: The disk is full, or the place is not writable.
    """
    contents = {
        _TASK: tasks.text(task).encode(),
        _PLAN: recipes.plan_text(plan).encode(),
        _WEIGHTS: _saved(weights, half=half),
    }
    if experience is not None:
        contents[_EXPERIENCE] = experiences.text(experience).encode()
    if card is not None:
        contents[CARD] = card.encode()
    fresh = folder.with_name(f".partial-{folder.name}")
    with files.explained(folder):
        shutil.rmtree(fresh, ignore_errors=True)
        files.make_folder(fresh)
        for name, content in contents.items():
            files.write_bytes(fresh / name, content)
        manifest = {
            "format": FORMAT,
            "medseg": __version__,
            "sha256": {name: files.sha256(fresh / name) for name in contents},
        }
        files.write_text(fresh / MANIFEST, json.dumps(manifest, indent=2) + "\n")
        _swap(fresh, folder)
    return Bundle(folder, task, plan, experience)


def rounded(bundle: Bundle, folder: Path, *, card: str | None = None) -> Bundle:
    """Write `bundle` once more, into `folder`, with weights in bfloat16.

    Args:
        bundle: Stays as it is.
        folder: Where to.
        card: Instead of the one it has.

    Raises:
        OutputError: The disk is full, or the place is not writable.
    """
    return write(
        folder,
        bundle.task,
        bundle.plan,
        bundle.read_weights(),
        experience=bundle.experience,
        card=card or bundle.card,
        half=True,
    )


def _saved(weights: "dict[str, Tensor]", *, half: bool) -> bytes:
    import torch
    from safetensors.torch import save

    copies = {  # safetensors refuses weights that share memory, as tied ones do
        name: value.cpu().clone(memory_format=torch.contiguous_format)
        for name, value in weights.items()
    }
    if half:
        copies = {n: w.bfloat16() if w.is_floating_point() else w for n, w in copies.items()}
    return save(copies)


def _swap(fresh: Path, folder: Path) -> None:
    """Put `fresh` in the place of `folder`, which comes back if that fails."""
    old = folder.with_name(f".old-{folder.name}")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.rename(old)
    try:
        fresh.rename(folder)
    except BaseException:
        if old.exists():
            old.rename(folder)
        raise
    shutil.rmtree(old, ignore_errors=True)


def read(place: Path) -> Bundle:
    """Read the bundle in `place`, or in the run folder `place`, and verify every file.

    Raises:
        ModelError: There is none, it was made by another medseg, or a file is missing or altered.
    """
    folder = place / "bundle" if (place / "bundle" / MANIFEST).is_file() else place
    hashes = _hashes(folder)
    known = hashes.keys() & {_EXPERIENCE, CARD}
    for name in (_TASK, _PLAN, _WEIGHTS, *known):
        path = folder / name
        if not path.is_file() or files.sha256(path) != hashes.get(name):
            raise ModelError(
                "is missing or was altered since training",
                where=path,
                remedy="Copy the bundle anew from where it was trained",
            )
    task_text = (folder / _TASK).read_text(encoding="utf-8")
    plan_text = (folder / _PLAN).read_text(encoding="utf-8")
    try:
        return Bundle(
            folder,
            task=tasks.parse(task_text, where=folder / _TASK),
            plan=recipes.read_plan(plan_text, where=folder / _PLAN),
            experience=_experience(folder / _EXPERIENCE) if _EXPERIENCE in known else None,
        )
    except UsageError as error:  # unaltered, so that its maker wrote what this medseg cannot read
        raise ModelError(
            f"was made by another medseg: {error.what}",
            where=error.where,
            remedy="Use the version of medseg that trained it",
        ) from error


def _experience(path: Path) -> Experience:
    return experiences.parse(path.read_text(encoding="utf-8"), where=path)


def _hashes(folder: Path) -> dict[str, str]:
    path = folder / MANIFEST
    if not path.is_file():
        raise ModelError(
            "holds no trained model",
            where=folder,
            remedy="Give the folder that 'medseg train --out' made; training writes the model"
            " when it ends or is stopped",
        )
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        if manifest["format"] > FORMAT:
            raise ModelError(
                f"was made by medseg {manifest.get('medseg')}, which is newer than {__version__}",
                where=folder,
                remedy="Update medseg with 'pip install --upgrade medseg'",
            )
        if manifest["format"] < FORMAT:
            raise ValueError(f"there was never a format {manifest['format']}")
        return dict(manifest["sha256"])
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(
            "is damaged", where=path, remedy="Copy the bundle anew from where it was trained"
        ) from error
