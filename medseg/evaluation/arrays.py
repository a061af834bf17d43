"""Scores of arrays, for notebooks and other programs: no files, no task."""

from collections.abc import Collection, Mapping
from typing import Final

import numpy as np

from medseg.evaluation import conventions, region_pairs
from medseg.evaluation.pair import TOLERANCE_MM, Pair, require_one_shape
from medseg.evaluation.score import DEFAULT, Score, score_pairs
from medseg.shapes import LabelMap, Spacing

MASK: Final = "mask"
"""What the only region of a boolean array is called."""


def score_arrays(
    *,
    prediction: np.ndarray,
    reference: np.ndarray,
    spacing_mm: Spacing,
    regions: Mapping[str, Collection[int]] | None = None,
    convention: str = DEFAULT,
    tolerance_mm: float = TOLERANCE_MM,
) -> dict[str, Score]:
    """Score every region of a label map, or one mask.

    Args:
        prediction: What was found: integer labels with 0 as background, or a boolean mask.
        reference: What is there, of the same shape.
        spacing_mm: Distance between voxel centres along the three axes, in millimetres.
        regions: The label values that each region is made of; regions may overlap, and values in
            none of them are not scored. If absent, every value but 0 that occurs is a region of
            its own, called as the number is; a boolean array is the region `mask`.
        convention: What the scores mean; a module of `medseg.evaluation.conventions`.
        tolerance_mm: How far a surface may be off in the surface Dice (NSD).

    Returns:
        By region: its `values` by column (`dice`, `hd95_mm`, ...; units are in the names, ratios
        lie between 0 and 1), its `status` and its `volumes_ml`.

    Raises:
        ValueError: The arrays differ in shape, are not three-dimensional, hold neither integers
            nor booleans, or there is no such convention.
    """
    require_one_shape(reference.shape, prediction.shape)
    label_maps = [_label_map(array) for array in (reference, prediction)]
    chosen = regions if regions is not None else _regions_of(reference, label_maps)
    return _scored(
        region_pairs.of_label_maps(
            *label_maps, regions=chosen, spacing_mm=spacing_mm, tolerance_mm=tolerance_mm
        ),
        convention,
    )


def score_masks(
    *,
    prediction: np.ndarray,
    reference: np.ndarray,
    spacing_mm: Spacing,
    regions: Collection[str],
    convention: str = DEFAULT,
    tolerance_mm: float = TOLERANCE_MM,
) -> dict[str, Score]:
    """Score masks that may overlap, stacked along the first axis; otherwise as `score_arrays`.

    Args:
        prediction: What was found: one boolean mask for each region.
        reference: What is there, of the same shape.
        spacing_mm: Distance between voxel centres along the last three axes, in millimetres.
        regions: What the masks are called, in order.
        convention: What the scores mean.
        tolerance_mm: How far a surface may be off in the surface Dice (NSD).

    Raises:
        ValueError: There are not as many masks as regions, they are not boolean, shapes differ, or
            there is no such convention.
    """
    require_one_shape(reference.shape, prediction.shape)
    if reference.ndim != 4 or len(reference) != len(regions):
        raise ValueError(
            f"masks of the shape {reference.shape} are not those of {len(regions)} regions; give"
            " one mask for each, along the first of four axes"
        )
    if reference.dtype.kind != "b" or prediction.dtype.kind != "b":
        raise ValueError(f"masks are boolean, not {reference.dtype} and {prediction.dtype}")
    sides = zip(regions, reference, prediction, strict=True)
    pairs = {
        region: Pair(known, found, spacing_mm, tolerance_mm=tolerance_mm)
        for region, known, found in sides
    }
    return _scored(pairs, convention)


def _label_map(array: np.ndarray) -> LabelMap:
    if array.ndim != 3 or array.dtype.kind not in "biu":
        raise ValueError(
            f"an array of {array.ndim} axes and {array.dtype} is no label map; give integers or"
            " booleans on three axes"
        )
    return array.view(np.uint8) if array.dtype.kind == "b" else array


def _regions_of(given: np.ndarray, label_maps: list[LabelMap]) -> Mapping[str, Collection[int]]:
    if given.dtype.kind == "b":
        return {MASK: [1]}
    values = np.union1d(*(np.unique(label_map) for label_map in label_maps)).tolist()
    return {str(value): [value] for value in values if value != 0}


def _scored(pairs: Mapping[str, Pair], convention: str) -> dict[str, Score]:
    if convention not in conventions.names():
        raise ValueError(f"no convention {convention!r}; choose from {conventions.names()}")
    return {score.region: score for score in score_pairs("", pairs, convention=convention)}
