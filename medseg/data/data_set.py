"""A data set as its layout found it on disk: cases, and what its own names and values mean."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from medseg.data.cases import Case
from medseg.data.channel_names import SPELLINGS, meaning

BACKGROUND: Final = "background"


@dataclass(frozen=True)
class Part:
    """One published way to divide a data set, by patient, or by case where it is published so.

    Attributes:
        training: Patients to train with.
        held_out: Patients to score.
        validation: Patients to watch the training with.
        watch_held_out: Whether the held-out ones are, as in cross-validation; if neither is given,
            some are taken from training.
    """

    training: tuple[str, ...]
    held_out: tuple[str, ...]
    validation: tuple[str, ...] = ()
    watch_held_out: bool = False


def nothing() -> Mapping[str, Any]:
    """Return an empty mapping that cannot be changed."""
    return MappingProxyType({})


@dataclass(frozen=True)
class DataSet:
    """What a layout found.

    Attributes:
        layout: The module of `medseg.data.layouts` that found it.
        edition: What was recognised, for people.
        root: Its folder, or its list.
        cases: All cases, those without a label map included; images in the order of `channels`.
        channels: The images' channels, as the data call them.
        numberings: What the values of its label maps mean, by the name of the numbering: label
            names by value. Several where copies of a data set differ. None: nothing is said.
        numbering: The one that holds; the first if absent.
        modalities: `mr` or `ct` for each channel, where the data say so.
        regions: Sets of values that are scored as one, where the data define them.
        task: The shipped task that fits, where there is one.
        spare: Whether labels that a task lacks count as background; else they are errors.
        others_are_background: Whether values without a name count as background too.
        has_geometry: Whether files say where voxels lie.
        splits: The published ways to divide it, the usual one first; each has one or more parts
            that are held out in turn.
        notes: What a user should know.
    """

    layout: str
    edition: str
    root: Path
    cases: tuple[Case, ...]
    channels: tuple[str, ...]
    numberings: Mapping[str, Mapping[int, str]] = field(default_factory=nothing)
    numbering: str | None = None
    modalities: tuple[str, ...] = ()
    regions: Mapping[str, tuple[int, ...]] = field(default_factory=nothing)
    task: str | None = None
    spare: bool = False
    others_are_background: bool = False
    has_geometry: bool = True
    splits: Mapping[str, tuple[Part, ...]] = field(default_factory=nothing)
    notes: tuple[str, ...] = ()

    @property
    def labels(self) -> Mapping[int, str]:
        """The label names by value in the numbering that holds; none if nothing is said."""
        if not self.numberings:
            return {}
        return self.numberings[self.numbering or next(iter(self.numberings))]

    @property
    def labelled(self) -> tuple[Case, ...]:
        """The cases with a label map."""
        return tuple(case for case in self.cases if case.label is not None)


def plain(name: str) -> str:
    """Return a name as tasks write them: lower case, digits and underscores, a letter first."""
    name = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
    return name if name[:1].isalpha() else f"label_{name}".rstrip("_")


def sequence(name: str) -> str:
    """Return a channel's name so that those of one MR sequence are equal, however it is called."""
    usual = meaning(name)
    return usual if usual in SPELLINGS else plain(name)
