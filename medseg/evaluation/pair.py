"""Two masks of one region, and what the metrics ask of them, computed once."""

import math
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Final

import numpy as np
from jaxtyping import Float64

from medseg.evaluation import surface, topology
from medseg.shapes import Mask, Shape, Spacing

TOLERANCE_MM: Final = 2.0
"""How far a surface may be off in the surface Dice of a task that sets no tolerance."""


class Status(StrEnum):
    """Which of the two masks hold the region."""

    BOTH = "both"
    ABSENT = "absent"
    MISSED = "missed"
    FALSE_ALARM = "false_alarm"

    @classmethod
    def of(cls, *, reference: bool, prediction: bool) -> "Status":
        """Return the status by which of the two sides hold something."""
        if reference:
            return cls.BOTH if prediction else cls.MISSED
        return cls.FALSE_ALARM if prediction else cls.ABSENT


@dataclass(frozen=True, eq=False)
class Pair:
    """The masks of one region in the reference and in the prediction, on one grid.

    Attributes:
        reference: What is there.
        prediction: What was found.
        spacing_mm: Distance between voxel centres along i, j and k.
        tolerance_mm: How far a surface may be off in the surface Dice.
        image_shape: Shape of the whole image, if the masks are cut from it; else that of the masks.
        voxel_mm3: Volume of a voxel; the product of the spacing if absent.

    Raises:
        ValueError: The masks differ in shape, or the spacing is not three positive numbers.
    """

    reference: Mask
    prediction: Mask
    spacing_mm: Spacing
    tolerance_mm: float = TOLERANCE_MM
    image_shape: Shape | None = None
    voxel_mm3: float | None = None

    def __post_init__(self) -> None:
        require_one_shape(self.reference.shape, self.prediction.shape)
        require_spacing(self.spacing_mm)

    @property
    def diagonal_mm(self) -> float:
        """Length of the image's diagonal: the distance that stands for a missing surface."""
        extent_mm = np.array(self._whole_shape) * np.array(self.spacing_mm)
        return float(np.linalg.norm(extent_mm))

    @property
    def voxel_ml(self) -> float:
        """Volume of a voxel in millilitres."""
        return (self.voxel_mm3 or math.prod(self.spacing_mm)) / 1000.0

    @property
    def image_ml(self) -> float:
        """Volume of the image in millilitres: what stands for the error of a missing volume."""
        return math.prod(self._whole_shape) * self.voxel_ml

    @cached_property
    def sizes(self) -> tuple[int, int]:
        """Number of voxels in the reference and in the prediction."""
        return int(np.count_nonzero(self.reference)), int(np.count_nonzero(self.prediction))

    @property
    def volumes_ml(self) -> tuple[float, float]:
        """Volume of the reference and of the prediction in millilitres."""
        reference, prediction = self.sizes
        return reference * self.voxel_ml, prediction * self.voxel_ml

    @cached_property
    def components(self) -> tuple[int, int]:
        """Number of connected components in the reference and in the prediction."""
        reference, prediction = self.cropped
        return topology.components(reference), topology.components(prediction)

    @cached_property
    def holes(self) -> tuple[int, int]:
        """Number of enclosed cavities in the reference and in the prediction."""
        reference, prediction = self.cropped
        return topology.holes(reference), topology.holes(prediction)

    @cached_property
    def shared(self) -> int:
        """Number of voxels that both masks hold."""
        reference, prediction = self.cropped
        return int(np.count_nonzero(reference & prediction))

    @property
    def status(self) -> Status:
        """Which of the two masks hold a voxel."""
        reference, prediction = self.sizes
        return Status.of(reference=reference > 0, prediction=prediction > 0)

    def value_if_empty(self, *, worst: float) -> float:
        """Return what a metric counts if a mask is empty: NaN if both are, else its worst value."""
        return math.nan if self.status is Status.ABSENT else worst

    @cached_property
    def cropped(self) -> tuple[Mask, Mask]:
        """Both masks, cut to the smallest box that holds all their voxels."""
        either = self.reference | self.prediction
        box = tuple(_range(either, axis) for axis in range(3))
        return self.reference[box], self.prediction[box]

    @cached_property
    def surfaces(self) -> tuple[Mask, Mask]:
        """The surfaces of both cropped masks."""
        reference, prediction = self.cropped
        return surface.surface(reference), surface.surface(prediction)

    @cached_property
    def distances_mm(
        self,
    ) -> tuple[Float64[np.ndarray, " reference"], Float64[np.ndarray, " prediction"]]:
        """The distances from the reference's surface to the prediction's, and back.

        Raises:
            ValueError: One of the masks is empty.
        """
        reference, prediction = self.surfaces
        return (
            surface.distances_mm(reference, prediction, self.spacing_mm),
            surface.distances_mm(prediction, reference, self.spacing_mm),
        )

    @property
    def _whole_shape(self) -> tuple[int, ...]:
        return self.image_shape or self.reference.shape


def require_one_shape(reference: tuple[int, ...], prediction: tuple[int, ...]) -> None:
    """Refuse to compare two images of different shapes.

    Raises:
        ValueError: They differ.
    """
    if reference != prediction:
        raise ValueError(
            f"a reference of {reference} cannot be compared with a prediction of {prediction};"
            " resample one onto the other's grid"
        )


def require_spacing(spacing_mm: object) -> Spacing:
    """Return `spacing_mm` as three numbers.

    Raises:
        ValueError: It is not three positive numbers.
    """
    steps = np.asarray(spacing_mm)
    if (
        steps.shape != (3,)
        or steps.dtype.kind not in "iuf"
        or not ((steps > 0) & (steps < np.inf)).all()
    ):
        raise ValueError(
            f"spacing {spacing_mm!r} must be three positive numbers, the distance between voxel"
            " centres along i, j and k in millimetres"
        )
    i, j, k = map(float, steps)
    return i, j, k


def _range(mask: Mask, axis: int) -> slice:
    others = tuple(other for other in range(3) if other != axis)
    filled = np.flatnonzero(mask.any(axis=others))
    return slice(int(filled[0]), int(filled[-1]) + 1) if filled.size else slice(0, 0)
