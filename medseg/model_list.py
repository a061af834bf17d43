"""The models that were trained or installed on this machine, so that a user need not name one.

One small file per model in the user's data folder says where its bundle lies. Models that were
moved or deleted are passed over, and so are entries that are damaged.
"""

import hashlib
import json
import os
from pathlib import Path

import platformdirs

from medseg import files
from medseg.bundle import MANIFEST, Bundle
from medseg.bundle import read as read_bundle
from medseg.errors import ModelError


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
    name = hashlib.sha256(os.fsencode(place)).hexdigest()[:16]
    files.write_text(folder() / f"{name}.json", json.dumps({"bundle": place}) + "\n")


def places() -> list[Path]:
    """Return the bundles on the list that are still there, sorted."""
    listed = [_place(entry) for entry in folder().glob("*.json")]
    return sorted(place for place in listed if place and (place / MANIFEST).is_file())


def choose(model: Path | None) -> Bundle:
    """Read the bundle `model`, or the only one on the list.

    Raises:
        ModelError: There is none, or there are several to choose from, or it is damaged.
    """
    if model is not None:
        return read_bundle(model)
    known = places()
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


def _place(entry: Path) -> Path | None:
    """Read an entry of the list; one that is damaged must not make the others unusable."""
    try:
        return Path(json.loads(entry.read_text(encoding="utf-8"))["bundle"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
