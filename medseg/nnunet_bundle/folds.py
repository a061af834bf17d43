"""Which folds of an nnU-Net results folder are used, and which of their checkpoints.

As nnU-Net has it, all folds give the checkpoint of one name, that of the end of training; a fold
without it is left out, and one that was trained on all cases counts only where there is no other.
Where no training ended, the best checkpoints stand in.

Source: https://github.com/MIC-DKFZ/nnUNet, `nnUNetPredictor.auto_detect_available_folds`.
"""

import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from medseg.errors import ModelError

CHECKPOINTS: Final = ("checkpoint_final.pth", "checkpoint_best.pth")
"""In the order in which they are looked for."""

ALL: Final = "fold_all"
"""The one that was trained on all cases."""


@dataclass(frozen=True)
class Chosen:
    """Checkpoints, one for each fold that is used, and what a user should know of the choice."""

    checkpoints: tuple[Path, ...]
    remarks: tuple[str, ...] = ()


def usual(folder: Path) -> Chosen:
    """Choose the folds that nnU-Net would, and say which are left out and why.

    Raises:
        ModelError: None has a checkpoint.
    """
    numbered = [fold for fold in _in_order(folder) if fold.name != ALL]
    everything = [folder / ALL] if (folder / ALL).is_dir() else []
    for name, folds in itertools.product(CHECKPOINTS, (numbered, everything)):
        used = [fold for fold in folds if (fold / name).is_file()]
        if used:
            others = [fold for fold in (*numbered, *everything) if fold not in used]
            return Chosen(tuple(fold / name for fold in used), _remarks(used, others, name))
    raise _nothing(folder)


def one(fold: Path) -> Chosen:
    """Choose the checkpoint of a fold that was asked for.

    Raises:
        ModelError: It has none.
    """
    for name in CHECKPOINTS:
        if (fold / name).is_file():
            stands_in = f"{_name(fold)}: uses {name}, as there is no {CHECKPOINTS[0]}"
            return Chosen((fold / name,), (stands_in,) if name != CHECKPOINTS[0] else ())
    raise _nothing(fold)


def _in_order(folder: Path) -> list[Path]:
    """Return the numbered folds and that of all cases, by number."""
    found = [place for place in folder.glob("fold_*") if place.is_dir()]
    known = [place for place in found if place.name == ALL or _number(place) is not None]
    return sorted(known, key=lambda place: (_number(place) is None, _number(place) or 0))


def _number(fold: Path) -> int | None:
    number = fold.name.removeprefix("fold_")
    return int(number) if number.isdecimal() else None


def _remarks(used: list[Path], others: list[Path], name: str) -> tuple[str, ...]:
    if not others and name == CHECKPOINTS[0]:
        return ()
    why = "" if name == CHECKPOINTS[0] else f", as no fold has {CHECKPOINTS[0]}"
    first = f"uses {name} of {', '.join(map(_name, used))}{why}"
    return (first, *(f"leaves out {_name(fold)}: {_reason(fold, name)}" for fold in others))


def _reason(fold: Path, name: str) -> str:
    if (fold / name).is_file():
        return "it was trained on all cases, and counts only where there is no other"
    return f"it has no {name}, but {_there(fold)}"


def _there(fold: Path) -> str:
    found = sorted(path.name for path in fold.glob("checkpoint_*.pth"))
    return ", ".join(found) if found else "no checkpoint at all"


def _name(fold: Path) -> str:
    return fold.resolve().name


def _nothing(place: Path) -> ModelError:
    """Return what is wrong with a folder or one of its folds, with what there is instead."""
    resolved = place.resolve()
    folder = resolved.parent if resolved.name.startswith("fold_") else resolved
    found = "; ".join(f"{_name(fold)} has {_there(fold)}" for fold in _in_order(folder))
    return ModelError(
        f"holds no {' or '.join(CHECKPOINTS)}{found and f': {found}'}",
        where=place,
        remedy="Give a results folder of nnU-Net whose training ended, or one of its folds",
    )
