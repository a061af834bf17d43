"""Clinical numbers: what a physician reads off a segmentation; one module each, found by its name.

A task names in `clinical` those that apply to it. A module computes its numbers from the volumes of
the regions of every case, once from the references and once from the predictions; that the two are
compared is no concern of it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, cast, runtime_checkable

import medseg.evaluation.clinical as this_package
from medseg import registry

VolumesMl = Mapping[str, Mapping[str, float]]
"""By case, then by region: its volume in millilitres."""


@dataclass(frozen=True)
class Number:
    """A number that was measured.

    Attributes:
        subject: The case, or the patient if it takes several cases.
        quantity: What was measured, in the field's words, such as `LV EF`.
        unit: Such as `mL`, `%` or `g/m2`.
        value: NaN where the quantity is not defined, such as the ejection of nothing.
    """

    subject: str
    quantity: str
    unit: str
    value: float


@runtime_checkable
class Clinical(Protocol):
    """What a module of this package offers.

    Attributes:
        SOURCE: Where the formulas are laid down.
        REGIONS: The regions that a task must have; none if it may have any.
        NEEDS_DATA: Whether it reads the data set's own files beside the label maps.
    """

    SOURCE: str
    REGIONS: tuple[str, ...]
    NEEDS_DATA: bool

    def compute(self, volumes_ml: VolumesMl, data: Path | None) -> list[Number]:
        """Compute every number of every subject; the same ones for every subject."""


def names() -> list[str]:
    """Return the names of the modules, sorted."""
    return registry.names(this_package)


def load(name: str) -> Clinical:
    """Return the module called `name`.

    Raises:
        ValueError: There is no such module; the message lists those there are.
    """
    return cast(Clinical, registry.load(this_package, name))
