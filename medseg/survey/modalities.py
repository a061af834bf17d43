"""Channels that look exchanged, by their intensities.

Two things are asked. Of MR with a lesion: a lesion is brighter than the tissue around it in FLAIR
and in T2, and not in T1; a case where T1 shows it brighter than FLAIR or T2 does has the two
exchanged. Of any set of at least five cases: does a case look more like the others if two of its
channels are exchanged? Scale means nothing in MR, so that the shape of the histogram and the
contrast of what is labelled are compared.
"""

import itertools
from collections.abc import Sequence
from typing import Final

import numpy as np
from jaxtyping import Float64

from medseg.data.data_set import sequence
from medseg.survey.findings import Finding, Severity
from medseg.survey.measure import Intensities, Measured
from medseg.task import Task

_LESION: Final = "SCT^49755003^"  # morphologically altered structure
_BRIGHTER: Final = 0.5  # standard deviations
_FEWEST: Final = 5
_SMALLEST_SPREAD: Final = 0.15
_NEARER: Final = 0.5  # times as far from the others, and no more, once they are exchanged
_FAR: Final = 4.0  # spreads, summed over the features

_FIX: Final = "Look at both images, and rename the files if their names are exchanged"


def exchanged(cases: Sequence[Measured], task: Task) -> list[Finding]:
    """Find cases two channels of which look exchanged."""
    usable = [case for case in cases if set(case.intensities) == set(task.channels)]
    found = {}
    for case in usable:
        pair = _by_lesion(case, task) or _unlike_others(case, usable, task)
        if pair is not None:
            found[case.case] = pair
    return [
        Finding(Severity.SUSPECT, name, f"{first} and {second} look exchanged", _FIX)
        for name, (first, second) in found.items()
    ]


def _by_lesion(case: Measured, task: Task) -> tuple[str, str] | None:
    if not all(label.category.startswith(_LESION) for label in task.labels.values()):
        return None
    contrast = {sequence(name): each.contrast for name, each in case.intensities.items()}
    names = {sequence(name): name for name in task.channels}
    for bright in ("flair", "t2"):
        if bright in contrast and contrast.get("t1", -np.inf) > contrast[bright] + _BRIGHTER:
            return names[bright], names["t1"]
    return None


def _unlike_others(case: Measured, cases: Sequence[Measured], task: Task) -> tuple[str, str] | None:
    """Return two channels that fit the other cases much better if exchanged."""
    others = [other for other in cases if other is not case]
    if len(others) + 1 < _FEWEST:
        return None
    table = np.stack([_features(other, task) for other in others])
    middle = np.median(table, axis=0)
    spread = np.maximum(1.4826 * np.median(np.abs(table - middle), axis=0), _SMALLEST_SPREAD)
    own = _features(case, task)
    apart = float(np.abs((own - middle) / spread).sum())
    names = list(task.channels)
    for first, second in itertools.combinations(range(len(names)), 2):
        order = list(range(len(names)))
        order[first], order[second] = second, first
        both = [first, second]
        before = float(np.abs((own - middle) / spread)[both].sum())
        after = float(np.abs((own[order] - middle) / spread)[both].sum())
        if before > _FAR and after < _NEARER * before and apart > _FAR:
            return names[first], names[second]
    return None


def _features(case: Measured, task: Task) -> Float64[np.ndarray, "channels features"]:
    return np.array([_shape(case.intensities[name]) for name in task.channels])


def _shape(channel: Intensities) -> tuple[float, float, float]:
    """Return what does not depend on the scale of a channel."""
    low, middle, high = channel.percentiles
    return (2 * (middle - low) / ((high - low) or 1.0), channel.skewness, channel.contrast)
