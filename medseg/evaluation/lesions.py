"""Lesions of the reference and what was found of each, by the rules of BraTS 2023.

1. Parts of a mask are connected over corners too. Parts of the reference whose dilations touch
   are one lesion.
2. A lesion is matched with every whole part of the prediction that touches the lesion's dilation; a
   part may match several lesions.
3. Parts that match no lesion are false alarms, however small.
4. Small lesions are not counted, but a part that matches one is no false alarm.

Source: https://github.com/rachitsaluja/BraTS-2023-Metrics/blob/main/metrics.py
"""

import math
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from scipy import ndimage

from medseg.evaluation.pair import Pair

_TOUCHING: Final = np.ones((3, 3, 3), dtype=bool)
"""Neighbours that share a face, an edge or a corner."""


@dataclass(frozen=True)
class Rules:
    """What differs between the tasks of the challenge.

    Attributes:
        dilation: By how many voxels a lesion is dilated.
        dropped_mm3: Volume up to which a lesion is not counted.
    """

    dilation: int
    dropped_mm3: float


GLIOMA: Final = Rules(dilation=3, dropped_mm3=50.0)
"""Also those of the tasks from sub-Saharan Africa (SSA) and of children (PED)."""

MENINGIOMA: Final = Rules(dilation=1, dropped_mm3=50.0)
METASTASIS: Final = Rules(dilation=1, dropped_mm3=2.0)


@dataclass(frozen=True)
class Comparison:
    """The lesions of a pair of masks.

    Attributes:
        matched: Each lesion that was found, beside all that matches it.
        missed: Number of lesions that nothing matches.
        false_alarms: Number of parts of the prediction that match no lesion.
    """

    matched: tuple[Pair, ...]
    missed: int
    false_alarms: int


def compare(pair: Pair, rules: Rules) -> Comparison:
    """Find the lesions of the reference in the prediction."""
    cropped_reference, cropped_prediction = pair.cropped
    if cropped_reference.size == 0:
        return Comparison((), 0, 0)
    reference, prediction = (
        np.pad(mask, rules.dilation) for mask in (cropped_reference, cropped_prediction)
    )
    merged, number = ndimage.label(_dilated(reference, rules.dilation), _TOUCHING)
    parts, number_of_parts = ndimage.label(prediction, _TOUCHING)
    matched: list[Pair] = []
    touched: set[int] = set()
    missed = 0
    for lesion_index in range(1, number + 1):
        lesion = reference & (merged == lesion_index)
        near = set(np.unique(parts[_dilated(lesion, rules.dilation)]).tolist()) - {0}
        touched |= near
        if _volume_mm3(lesion, pair) <= rules.dropped_mm3:
            continue
        if near:
            matched.append(replace(pair, reference=lesion, prediction=np.isin(parts, list(near))))
        else:
            missed += 1
    return Comparison(tuple(matched), missed, number_of_parts - len(touched))


def _dilated(mask: np.ndarray, voxels: int) -> np.ndarray:
    return ndimage.binary_dilation(mask, ndimage.generate_binary_structure(3, 2), voxels)


def _volume_mm3(mask: np.ndarray, pair: Pair) -> float:
    return int(np.count_nonzero(mask)) * math.prod(pair.spacing_mm)
