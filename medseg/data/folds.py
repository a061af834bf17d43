"""Splits into training and held-out cases, by patient, the same on every machine.

A data set's published split comes with its layout. Else, or if asked for, the five folds are those
of nnU-Net for the same case names (`KFold(5, shuffle=True, random_state=12345)` of scikit-learn on
the sorted names), so that scores can be compared.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from medseg.data.cases import Case
from medseg.data.data_set import Part
from medseg.errors import DataError, UsageError

FOLDS: Final = 5
BY_FOLDS: Final = "folds"
"""The split that every data set has."""

_SEED: Final = 12345
_WATCHED: Final = 8
"""One in so many training patients is taken to watch a training whose held-out cases are a test."""


@dataclass(frozen=True)
class Split:
    """Cases to train with, and cases held out.

    Attributes:
        training: To train with.
        held_out: To score.
        watched: To watch the training with; the held-out ones if there are no others.
        name: What the split is called.
    """

    training: tuple[Case, ...]
    held_out: tuple[Case, ...]
    watched: tuple[Case, ...] = ()
    name: str = BY_FOLDS

    @property
    def validation(self) -> tuple[Case, ...]:
        """The cases to watch the training with."""
        return self.watched or self.held_out

    @property
    def cases(self) -> tuple[Case, ...]:
        """All cases of the split."""
        return (*self.training, *self.watched, *self.held_out)


def choose(
    cases: Iterable[Case],
    published: Mapping[str, tuple[Part, ...]],
    *,
    name: str | None = None,
    fold: int = 0,
) -> Split:
    """Divide `cases` as published, or into folds.

    Args:
        cases: All labelled cases.
        published: The published splits of the data set, the usual one first.
        name: Which of them, or `folds`; the usual one if absent, or folds if there is none.
        fold: Which part is held out.

    Raises:
        UsageError: There is no such split or part, or there are too few patients.
        DataError: A part of the published split has none of the cases.
    """
    chosen = _named(published, name)
    if chosen == BY_FOLDS:
        return split(_not_for_test(cases), fold)
    parts = published[chosen]
    if not 0 <= fold < len(parts):
        raise UsageError(
            f"the split {chosen} has {len(parts)} part{'s' * (len(parts) > 1)}, so no fold {fold}",
            remedy=f"Choose --fold 0 to {len(parts) - 1}, or --split {BY_FOLDS}",
        )
    return _as_published(list(cases), parts[fold], chosen)


def count(
    cases: Iterable[Case], published: Mapping[str, tuple[Part, ...]], *, name: str | None = None
) -> int:
    """Return how many parts of a split are held out in turn; its arguments are as in `choose`.

    Raises:
        UsageError: There is no such split.
    """
    chosen = _named(published, name)
    if chosen == BY_FOLDS:
        return min(FOLDS, len({case.subject for case in _not_for_test(cases)}))
    return len(published[chosen])


def split(cases: list[Case], fold: int) -> Split:
    """Hold out part `fold` of `cases`, keeping the cases of a patient together.

    Args:
        cases: All labelled cases.
        fold: 0 to 4; with fewer than five patients each is held out in turn.

    Raises:
        UsageError: There is no such fold, or a single patient.
    """
    patients = sorted({case.subject for case in cases})
    if len(patients) < 2:
        raise UsageError(
            "a single patient cannot be split into training and held-out cases",
            remedy="Give the labelled scans of at least 2 patients",
        )
    folds = min(FOLDS, len(patients))
    if not 0 <= fold < folds:
        raise UsageError(f"there is no fold {fold}", remedy=f"Choose 0 to {folds - 1}")
    order = np.arange(len(patients))
    np.random.RandomState(_SEED).shuffle(order)
    held_out = {patients[index] for index in np.array_split(order, folds)[fold]}
    return Split(
        training=tuple(case for case in cases if case.subject not in held_out),
        held_out=tuple(case for case in cases if case.subject in held_out),
    )


def _not_for_test(cases: Iterable[Case]) -> list[Case]:
    """Leave out what a data set keeps for testing, unless it is all there is."""
    every = list(cases)
    return [case for case in every if not case.test] or every


def _named(published: Mapping[str, tuple[Part, ...]], name: str | None) -> str:
    """Return the name of a split: the one asked for, the usual one, or that of the folds."""
    chosen = name or next(iter(published), BY_FOLDS)
    if chosen != BY_FOLDS and chosen not in published:
        known = ", ".join([*published, BY_FOLDS])
        raise UsageError(f"there is no split {chosen!r}", remedy=f"Choose one of {known}")
    return chosen


def _as_published(cases: list[Case], part: Part, name: str) -> Split:
    patients = {name for case in cases for name in (case.subject, case.name)}
    training = [patient for patient in part.training if patient in patients]
    held_out = [patient for patient in part.held_out if patient in patients]
    if not training or not held_out:
        which = "training" if not training else "held-out"
        raise DataError(
            f"no {which} case of the published split {name} is among the {len(cases)} cases",
            where="the data",
            remedy=f"Complete the data, or divide what is there with --split {BY_FOLDS}",
        )
    watched = [patient for patient in part.validation if patient in patients]
    if not watched and not part.watch_held_out and len(training) > 1:
        order = np.random.RandomState(_SEED).permutation(sorted(training))
        watched = order[: max(1, len(training) // _WATCHED)].tolist()
        training = [patient for patient in training if patient not in watched]
    return Split(_of(cases, training), _of(cases, held_out), _of(cases, watched), name)


def _of(cases: list[Case], patients: list[str]) -> tuple[Case, ...]:
    return tuple(case for case in cases if {case.subject, case.name} & set(patients))
