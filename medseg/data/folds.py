"""Splits into training and held-out cases, by patient, the same on every machine.

The five folds are those of nnU-Net for the same case names (`KFold(5, shuffle=True,
random_state=12345)` of scikit-learn on the sorted names), so that scores can be compared.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from medseg.data.cases import Case
from medseg.errors import UsageError

FOLDS: Final = 5
_SEED: Final = 12345


@dataclass(frozen=True)
class Split:
    """Cases to train with, and cases held out."""

    training: tuple[Case, ...]
    held_out: tuple[Case, ...]


def split(cases: list[Case], fold: int) -> Split:
    """Hold out part `fold` of `cases`, keeping the cases of a patient together.

    Args:
        cases: All labelled cases.
        fold: 0 to 4.

    Raises:
        UsageError: There is no such fold, or fewer patients than folds.
    """
    patients = sorted({case.patient or case.name for case in cases})
    if not 0 <= fold < FOLDS:
        raise UsageError(f"there is no fold {fold}", remedy=f"Choose 0 to {FOLDS - 1}")
    if len(patients) < FOLDS:
        raise UsageError(
            f"{len(patients)} patients cannot be split into {FOLDS} folds",
            remedy=f"Give the labelled scans of at least {FOLDS} patients",
        )
    order = np.arange(len(patients))
    np.random.RandomState(_SEED).shuffle(order)
    held_out = {patients[index] for index in np.array_split(order, FOLDS)[fold]}
    return Split(
        training=tuple(case for case in cases if (case.patient or case.name) not in held_out),
        held_out=tuple(case for case in cases if (case.patient or case.name) in held_out),
    )
