"""The models that were trained or installed on this machine, so that a user need not name one.

One small file per model in the user's data folder says where its bundle lies. Models that were
moved or deleted are passed over, and so are entries that are damaged. Installed bundles lie in
that folder themselves and can be named by their short name. Those that come with medseg are on the
list too; one of them is taken only where the user has no model of their own.
"""

import hashlib
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import platformdirs

from medseg import bundle_archive, files, nnunet_bundle, resources
from medseg.bundle import MANIFEST, Bundle
from medseg.bundle import read as read_bundle
from medseg.data import channel_names
from medseg.errors import ModelError
from medseg.model import Model


@dataclass(frozen=True)
class Listed:
    """A model on the list.

    Attributes:
        name: Short and its own, of task, network and hash.
        bundle: The model.
        installed: Whether its files belong to the list; else they are a training run's.
        shipped: Whether it came with medseg, and is nobody's to remove.
    """

    name: str
    bundle: Bundle
    installed: bool
    shipped: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """What it may be called: a shipped one by its folder's short name too."""
        return (self.name, self.bundle.folder.name) if self.shipped else (self.name,)

    @property
    def kind(self) -> str:
        """How it came onto the list, in a word."""
        if self.shipped:
            return "shipped"
        return "installed" if self.installed else "trained"


def folder() -> Path:
    """Return where the list is kept: `$MEDSEG_HOME/models`, or the user's data folder."""
    home = os.environ.get("MEDSEG_HOME")
    return (Path(home) if home else platformdirs.user_data_path("medseg")) / "models"


def add(bundle: Bundle) -> None:
    """Put `bundle` on the list.

    Raises:
        OutputError: The list cannot be written.
    """
    place = str(bundle.folder.resolve())
    files.write_text(_entry(bundle.folder), json.dumps({"bundle": place}) + "\n")


def install(archive: Path) -> Listed:
    """Verify the bundle in the file `archive`, unpack it into the user's folder, and list it.

    Raises:
        ModelError: It is damaged, was altered, or is no bundle.
        OutputError: It cannot be written.
    """
    waiting = _installed() / f".{files.sha256(archive)[:16]}" if archive.is_file() else _installed()
    bundle = bundle_archive.unpack(archive, waiting)
    name = name_of(bundle)
    place = _installed() / name
    with files.explained(place):
        shutil.rmtree(place, ignore_errors=True)
        waiting.rename(place)
    installed = read_bundle(place)
    add(installed)
    return Listed(name, installed, installed=True)


def remove(name: str) -> Listed:
    """Take the model called `name` off the list; the files of an installed one are deleted.

    Raises:
        ModelError: No model on the list is called so, or it came with medseg.
    """
    for model in models():
        if model.name == name:
            _require_removable(model)
            _entry(model.bundle.folder).unlink(missing_ok=True)
            if model.installed:
                shutil.rmtree(model.bundle.folder, ignore_errors=True)
            return model
    raise ModelError(
        f"there is no model {name!r} on this machine",
        remedy="See their names with 'medseg models list'",
    )


def models() -> list[Listed]:
    """Return the models on the list that are sound, sorted by name."""
    found = []
    for place in places():
        try:
            bundle = read_bundle(place)
        except ModelError:
            continue
        installed = place.is_relative_to(_installed().resolve())
        found.append(Listed(name_of(bundle), bundle, installed))
    listed = {model.name for model in found}
    found += [model for model in shipped() if model.name not in listed]
    return sorted(found, key=lambda model: model.name)


def shipped_folder() -> Path:
    """Return where the models lie that come with medseg."""
    return resources.folder("models")


def shipped() -> list[Listed]:
    """Return the models that come with medseg, sorted by name."""
    manifests = sorted(shipped_folder().glob(f"*/{MANIFEST}"))
    found = [read_bundle(manifest.parent) for manifest in manifests]
    listed = [Listed(name_of(bundle), bundle, installed=False, shipped=True) for bundle in found]
    return sorted(listed, key=lambda model: model.name)


def is_shipped(model: Model) -> bool:
    """Say whether `model` is one that comes with medseg."""
    return isinstance(model, Bundle) and model.folder.parent == shipped_folder()


def document(listed: list[Listed]) -> list[dict[str, Any]]:
    """Return models ready for JSON, for programs that call medseg.

    Each has `name`, `title` of its task, `task`, `network`, `folder`, `hash`, `installed`,
    `shipped`, `channels` (`name`, `modality`, and the usual `spellings` of the name) and `labels`
    (`name`, `title`, `value`, `colour`).
    """
    return [_described(model) for model in listed]


def name_of(bundle: Bundle) -> str:
    """Return a short name that no other model has, such as `hippocampus-swin_unetr-1f3a9c07`."""
    return f"{bundle.task.name}-{bundle.plan.network.name}-{bundle.hash[:8]}"


def places() -> list[Path]:
    """Return the bundles on the list that are still there, sorted."""
    listed = [_place(entry) for entry in folder().glob("*.json")]
    return sorted(place for place in listed if place and (place / MANIFEST).is_file())


def choose(model: Path | None) -> Model:
    """Read the model `model`, a path or the name of one on the list, or the only one there.

    Without a model of the user's own that is the one that comes with medseg.

    Raises:
        ModelError: There is none, or there are several to choose from, or it is damaged.
    """
    if model is not None and nnunet_bundle.is_results_folder(model):
        return nnunet_bundle.read(model)
    return choose_bundle(model)


def choose_bundle(model: Path | None) -> Bundle:
    """Do as `choose` does, for a model of medseg alone.

    Raises:
        ModelError: There is none, or there are several to choose from, or it is damaged, or it is
            nnU-Net's.
    """
    if model is not None and nnunet_bundle.is_results_folder(model):
        raise ModelError(
            "is a results folder of nnU-Net, which is used where it lies",
            where=model,
            remedy=f"Segment with it: medseg predict SCAN --model {model}",
        )
    if model is not None:
        named = [] if model.exists() else [one for one in models() if str(model) in one.names]
        return named[0].bundle if named else read_bundle(_unpacked(model))
    known = places() or [one.bundle.folder for one in shipped()]
    if not known:
        raise ModelError(
            "no model was trained or installed on this machine",
            remedy="Train one with 'medseg train', or name a run folder or bundle with --model",
        )
    if len(known) > 1:
        listed = "\n".join(f"  --model {place}" for place in known)
        raise ModelError(
            f"there are {len(known)} models on this machine:\n{listed}\nNone of them was chosen",
            remedy="Name one with --model",
        )
    return read_bundle(known[0])


def _require_removable(model: Listed) -> None:
    if model.shipped:
        raise ModelError(
            f"the model {model.name} came with medseg and goes with it",
            remedy="Leave it: a model of your own comes before it",
        )


def _described(model: Listed) -> dict[str, Any]:
    bundle, task = model.bundle, model.bundle.task
    return {
        "name": model.name,
        "title": task.title,
        "task": task.name,
        "network": bundle.plan.network.name,
        "folder": str(bundle.folder),
        "hash": bundle.hash,
        "installed": model.installed,
        "shipped": model.shipped,
        "channels": [
            {"name": name, "modality": modality, "spellings": channel_names.spellings(name)}
            for name, modality in task.channels.items()
        ],
        "labels": [
            {
                "name": name,
                "title": task.title_of(name),
                "value": label.value,
                "colour": label.colour,
            }
            for name, label in task.labels.items()
        ],
    }


def _unpacked(model: Path) -> Path:
    if model.is_file() and model.suffix.lower() == bundle_archive.SUFFIX:
        raise ModelError(
            "is a bundle that was not installed yet",
            where=model,
            remedy=f"Install it with 'medseg models install {model}'",
        )
    return model


def _installed() -> Path:
    return folder() / "installed"


def _entry(place: Path) -> Path:
    name = hashlib.sha256(os.fsencode(str(place.resolve()))).hexdigest()[:16]
    return folder() / f"{name}.json"


def _place(entry: Path) -> Path | None:
    """Read an entry of the list; one that is damaged must not make the others unusable."""
    try:
        return Path(json.loads(entry.read_text(encoding="utf-8"))["bundle"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
