"""Weights of others under the names of our networks, with a report of what fitted.

A network's module lists where weights may come from as `SOURCES`. Weights of a 2D network fit a 3D
network where its grids have one slice; elsewhere they are inflated, each block by a rule of its
own: a block that needs one offers `inflated(name, weight)`.

Source: Carreira & Zisserman 2017, Quo vadis, action recognition?, section 2.4,
https://arxiv.org/abs/1705.07750, for inflation
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

Rename = Callable[[str], str | None]
State = Mapping[str, Tensor]

ENOUGH = 0.9
"""Part of the weights meant to be filled below which loading is refused."""


@dataclass(frozen=True, slots=True)
class Source:
    """Weights that others published and a network can begin with.

    Attributes:
        what: For the reader: which network, trained on what.
        rename: Maps their name of a weight to this network's; None if the network has no use for
            it. Must not raise on names it does not know.
        part: Prefix of the names of those weights that they are meant to fill.
        check: Raises ValueError if a network was built with options that do not suit them.
    """

    what: str
    rename: Rename
    part: str = ""
    check: Callable[[nn.Module], None] = lambda _network: None


@dataclass(frozen=True, slots=True)
class Report:
    """What became of weights that were loaded.

    Attributes:
        source: Which source they were recognised as.
        matched: Names of the network's weights that were filled.
        missing: Names of those that were meant to be filled and were not.
        unexpected: Their names of weights that the network has no place for.
        inflated: Those of `matched` that had another shape and were adapted.
    """

    source: str
    matched: tuple[str, ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    inflated: tuple[str, ...] = ()

    @property
    def share(self) -> float:
        """Part of the weights meant to be filled that were, 0 to 1."""
        return len(self.matched) / max(1, len(self.matched) + len(self.missing))

    def __str__(self) -> str:
        return (
            f"{self.source}: {len(self.matched)} weights matched ({len(self.inflated)} adapted), "
            f"{len(self.missing)} missing, {len(self.unexpected)} unexpected"
        )
