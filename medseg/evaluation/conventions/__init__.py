"""Conventions: what a score means in one program or challenge, one module each, found by its name.

The same masks score differently in different programs: the percentile of HD95 is the larger of the
two directed ones, or that of both pooled, or weighted by surface area; an empty mask counts as 0,
as 1, as NaN or as a number made up for it. A convention fixes all of it and names its source.

Outside the image counts as outside the mask in every convention. NaN is left out of a mean.
"""

from typing import Protocol, cast, runtime_checkable

import medseg.evaluation.conventions as this_package
from medseg import registry
from medseg.evaluation.pair import Pair


@runtime_checkable
class Convention(Protocol):
    """What a convention's module offers.

    Attributes:
        SOURCE: Where it is laid down.
    """

    SOURCE: str

    def compute(self, pair: Pair) -> dict[str, float]:
        """Compare the two masks of `pair`; the columns are the same for every pair."""


def names() -> list[str]:
    """Return the names of the conventions, sorted."""
    return registry.names(this_package)


def load(name: str) -> Convention:
    """Return the convention called `name`.

    Raises:
        ValueError: There is no such convention; the message lists those there are.
    """
    return cast(Convention, registry.load(this_package, name))


def describe(name: str) -> str:
    """Say in a sentence or two what the convention fixes, as its module does.

    Raises:
        ValueError: There is no such convention; the message lists those there are.
    """
    paragraphs = (registry.load(this_package, name).__doc__ or "").split("\n\n")
    told = [part for part in paragraphs if part.startswith(("Percentile", "Empty masks"))]
    return " ".join(" ".join(told).split())
