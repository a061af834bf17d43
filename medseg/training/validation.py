"""Dice on held-out cases during training: whole scans, by the averaged weights."""

from collections.abc import Callable
from typing import Final

import numpy as np
from torch import nn

from medseg.data.store import StoredCase
from medseg.evaluation.metrics import dice
from medseg.evaluation.pair import Pair
from medseg.inference.predict import logits
from medseg.recipe import Plan
from medseg.regions import decode_logits, encode
from medseg.segmentation import label_map_dtype
from medseg.shapes import LabelMap
from medseg.task import Task

MEAN: Final = "mean"


def validate(
    network: nn.Module,
    cases: list[StoredCase],
    task: Task,
    plan: Plan,
    *,
    on_first: Callable[[LabelMap], None] | None = None,
) -> dict[str, float]:
    """Return the mean Dice of every region over `cases`, and their mean under `mean`.

    Cases in which a region is absent from both sides are left out of its mean; NaN if that
    leaves none. `on_first` is given the label map of the first case.
    """
    values = np.array([0, *(label.value for label in task.labels.values())], label_map_dtype(task))
    rows: list[list[float]] = []
    for case in cases:
        found = decode_logits(logits(network, case.image, plan), task)
        if on_first is not None and not rows:
            on_first(found)
        predicted = encode(found, task)
        reference = encode(values[case.labels], task)
        rows.append(
            [
                dice.compute(Pair(there, found, spacing_mm=plan.spacing_mm))
                for there, found in zip(reference, predicted, strict=True)
            ]
        )
    means = _mean(np.array(rows))
    return {
        MEAN: float(_mean(means[:, None])[0]),
        **dict(zip(task.region_names, means.tolist(), strict=True)),
    }


def _mean(table: np.ndarray) -> np.ndarray:
    counted = np.isfinite(table).sum(axis=0)
    return np.where(counted > 0, np.nansum(table, axis=0) / np.maximum(counted, 1), np.nan)
