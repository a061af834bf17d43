"""The scores as a torchmetrics metric, for training loops: also over several processes."""

from collections.abc import Collection, Mapping
from typing import Final

import numpy as np
import torch
from jaxtyping import Shaped
from torch import Tensor
from torchmetrics import Metric

from medseg.evaluation import conventions, score_arrays, score_masks
from medseg.evaluation.arrays import require_values
from medseg.evaluation.pair import (
    TOLERANCE_MM,
    Pair,
    Status,
    require_one_shape,
    require_spacing,
)
from medseg.evaluation.score import DEFAULT, Score
from medseg.shapes import Spacing

_COUNTED: Final = (Status.ABSENT, Status.MISSED, Status.FALSE_ALARM)

Batch = Shaped[Tensor, "... i j k"]
"""Label maps (batch, i, j, k) or (batch, 1, i, j, k); or masks (batch, regions, i, j, k)."""


class ScoreMetric(Metric):
    """Means over all cases since the last reset, by `medseg.evaluation`.

    `update` takes label maps, with or without a channel axis of length one, or one boolean mask for
    each region; `compute` returns every mean as
    a tensor: `dice_liver` of a region, `dice` over the regions (each weighs the same), and how
    often a region was `absent`, `missed` or a `false_alarm`. NaN is left out of means, as always.
    Sums and counts are the state, so that processes are reduced exactly.

    Args:
        regions: The label values that each region is made of.
        spacing_mm: Distance between voxel centres, in millimetres.
        convention: What the scores mean; a module of `medseg.evaluation.conventions`.
        tolerance_mm: How far a surface may be off in the surface Dice.

    Raises:
        ValueError: A region holds a value below 1, the spacing is not three positive numbers, or
            there is no such convention.
    """

    is_differentiable = False
    higher_is_better = None
    full_state_update = False

    total: Tensor
    known: Tensor
    counted: Tensor

    def __init__(
        self,
        regions: Mapping[str, Collection[int]],
        spacing_mm: Spacing,
        *,
        convention: str = DEFAULT,
        tolerance_mm: float = TOLERANCE_MM,
    ) -> None:
        super().__init__()
        require_values(regions)
        self.regions = {name: tuple(values) for name, values in regions.items()}
        self.spacing_mm = require_spacing(spacing_mm)
        self.convention = convention
        self.tolerance_mm = tolerance_mm
        self.columns = _columns(convention)
        shape = (len(self.regions), len(self.columns))
        for name, size in (
            ("total", shape),
            ("known", shape),
            ("counted", (shape[0], len(_COUNTED))),
        ):
            zeros = torch.zeros(size, dtype=torch.float64)
            self.add_state(name, default=zeros, dist_reduce_fx="sum")

    def update(self, preds: Batch, target: Batch) -> None:
        """Add the cases of a batch: all of them, or none if one cannot be scored.

        Args:
            preds: What was found.
            target: What is there.

        Raises:
            ValueError: The two differ in shape, or hold neither label maps nor a mask for each
                region; see `score_arrays`.
        """
        found, known = (_without_channel(batch.cpu().numpy()) for batch in (preds, target))
        require_one_shape(known.shape, found.shape)
        for scored in [self._score(*case) for case in zip(found, known, strict=True)]:
            for place, region in enumerate(self.regions):
                self._add(place, scored[region])

    def compute(self) -> dict[str, Tensor]:
        """Return the means and counts; NaN where nothing was there to be scored."""
        by_region = self.total / self.known
        over_all = torch.nanmean(by_region, dim=0)
        found = dict(zip(self.columns, over_all, strict=True))
        for place, region in enumerate(self.regions):
            for column, value in zip(self.columns, by_region[place], strict=True):
                found[f"{column}_{region}"] = value
        counts = dict(zip(map(str, _COUNTED), self.counted.sum(dim=0), strict=True))
        return {**found, **counts}

    def _score(self, found: np.ndarray, known: np.ndarray) -> dict[str, Score]:
        if found.ndim == 4:
            return score_masks(
                prediction=found,
                reference=known,
                spacing_mm=self.spacing_mm,
                regions=list(self.regions),
                convention=self.convention,
                tolerance_mm=self.tolerance_mm,
            )
        return score_arrays(
            prediction=found,
            reference=known,
            spacing_mm=self.spacing_mm,
            regions=self.regions,
            convention=self.convention,
            tolerance_mm=self.tolerance_mm,
        )

    def _add(self, place: int, score: Score) -> None:
        values = self.total.new_tensor([score.values[column] for column in self.columns])
        there = ~torch.isnan(values)
        self.total[place] += torch.where(there, values, 0.0)
        self.known[place] += there
        if score.status in _COUNTED:
            self.counted[place, _COUNTED.index(score.status)] += 1


def _without_channel(batch: np.ndarray) -> np.ndarray:
    """Drop the channel axis of label maps, as data loaders make it."""
    if batch.dtype.kind == "b" or batch.ndim != 5:
        return batch
    if batch.shape[1] != 1:
        raise ValueError(
            f"label maps of the shape {batch.shape} have {batch.shape[1]} channels; take the argmax"
            " over them, or give boolean masks"
        )
    return batch[:, 0]


def _columns(convention: str) -> tuple[str, ...]:
    nothing = np.zeros((1, 1, 1), dtype=bool)
    return tuple(conventions.load(convention).compute(Pair(nothing, nothing, (1.0, 1.0, 1.0))))
