"""Scores of arrays, for notebooks and other programs: no files, no task."""

from collections.abc import Collection, Mapping, Set
from typing import Final

import numpy as np

from medseg.evaluation import conventions, region_pairs
from medseg.evaluation.pair import TOLERANCE_MM, Pair, require_one_shape, require_spacing
from medseg.evaluation.score import DEFAULT, Score, score_pairs
from medseg.shapes import LabelMap, Spacing

MASK: Final = "mask"
"""What the only region of a boolean array is called."""

_HIGHEST: Final = 65_535
"""The highest label value that files can hold."""


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
        prediction: What was found: labels, which are whole numbers from 0 (background) to 65535 of
            any type, or a boolean mask.
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
        ValueError: The arrays differ in shape, are not three-dimensional, hold neither labels nor
            booleans, one alone is boolean, a region holds a value below 1, the spacing is not
            three positive numbers, or there is no such convention.
    """
    require_one_shape(reference.shape, prediction.shape)
    _require_one_kind(reference, prediction)
    label_maps = [_label_map(array) for array in (reference, prediction)]
    chosen = regions if regions is not None else _regions_of(reference, label_maps)
    require_values(chosen)
    require_spacing(spacing_mm)
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
        ValueError: There are not as many masks as regions, two are called alike or have no order,
            they are not boolean, shapes differ, or there is no such convention.
    """
    require_one_shape(reference.shape, prediction.shape)
    if isinstance(regions, Set):
        raise ValueError("a set of regions has no order; give a list, one name for each mask")
    if len(set(regions)) < len(regions):
        raise ValueError(f"regions {list(regions)} repeat; give each mask a name of its own")
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


def require_values(regions: Mapping[str, Collection[int]]) -> None:
    """Refuse label values that no region can be made of.

    Raises:
        ValueError: A value is below 1; 0 is background.
    """
    for region, values in regions.items():
        if any(value < 1 for value in values):
            raise ValueError(
                f"region {region!r} holds the values {list(values)}, but 0 is background and labels"
                " are positive; name those it is made of"
            )


def _require_one_kind(reference: np.ndarray, prediction: np.ndarray) -> None:
    if (reference.dtype.kind == "b") != (prediction.dtype.kind == "b"):
        raise ValueError(
            f"a reference of {reference.dtype} cannot be compared with a prediction of"
            f" {prediction.dtype}; give two masks, such as label_map > 0, or two label maps"
        )


def _label_map(array: np.ndarray) -> LabelMap:
    if array.ndim != 3 or array.dtype.kind not in "biuf":
        raise ValueError(
            f"an array of {array.ndim} axes and {array.dtype} is no label map; give labels or"
            " booleans on three axes"
        )
    if array.dtype.kind == "b":
        return array.view(np.uint8)
    if array.dtype.kind == "f" and not (array == np.floor(array)).all():
        raise ValueError(
            "an array with fractions or NaN is no label map; threshold probabilities, or take the"
            " argmax over the classes"
        )
    if array.size and not (array.min() >= 0 and array.max() <= _HIGHEST):
        raise ValueError(
            f"an array with values from {array.min():g} to {array.max():g} is no label map; labels"
            f" are 0 for background to {_HIGHEST}"
        )
    return array.astype(np.uint16) if array.dtype.kind == "f" else array


def _regions_of(given: np.ndarray, label_maps: list[LabelMap]) -> Mapping[str, Collection[int]]:
    if given.dtype.kind == "b":
        return {MASK: [1]}
    values = np.union1d(*(np.unique(label_map) for label_map in label_maps)).tolist()
    return {str(value): [value] for value in values if value != 0}


def _scored(pairs: Mapping[str, Pair], convention: str) -> dict[str, Score]:
    if convention not in conventions.names():
        raise ValueError(f"no convention {convention!r}; choose from {conventions.names()}")
    return {score.region: score for score in score_pairs("", pairs, convention=convention)}
