"""What a user chooses between time and care when a model is applied."""

from dataclasses import dataclass
from typing import Final

from medseg.errors import UsageError
from medseg.inference.precision import PrecisionChoice

QUICK_OVERLAP: Final = 0.25


@dataclass(frozen=True)
class Options:
    """How a model is applied.

    Attributes:
        precision: What the network computes in; `auto`: bfloat16 where it is fast and agrees.
        tta: Whether each patch is predicted mirrored too, along the axes the task allows.
        overlap: Part of a patch that its neighbour covers too; None: as in the model's plan.
        quick: Whether patches overlap less, for about a third of the time.
        crop: Whether only the part of a scan is computed that may hold something.
        skip: Whether patches are left out that hold nothing.

    Raises:
        UsageError: `quick` stands beside what it decides itself, or there is no such overlap.
    """

    precision: PrecisionChoice = "auto"
    tta: bool = False
    overlap: float | None = None
    quick: bool = False
    crop: bool = True
    skip: bool = True

    def __post_init__(self) -> None:
        if self.quick and (self.tta or self.overlap is not None):
            raise UsageError(
                "quick decides on the overlap and does not mirror",
                remedy="Leave away --quick, or --tta and --overlap",
            )
        if self.overlap is not None and not 0 <= self.overlap < 1:
            raise UsageError(
                f"an overlap of {self.overlap:g} is not possible",
                remedy="Give a part of a patch from 0 to below 1, such as 0.5",
            )

    def overlap_of(self, planned: float) -> float:
        """Return the overlap, given that of a model's plan."""
        if self.quick:
            return min(planned, QUICK_OVERLAP)
        return planned if self.overlap is None else self.overlap
