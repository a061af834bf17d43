"""Weights of others under the names of our networks, with a report of what fitted.

A network's module lists where weights may come from as `SOURCES`. Weights of a 2D network are
inflated to 3D, which leaves them as they are where kernels and windows are one voxel thick. A block
for which the rule of convolutions does not do, or whose weights may have the right shape and
another order, offers `inflated(name, weight)`: it returns its weight `name` made from that of an
image's network, or None if that cannot be. One that can use weights of a volume in another shape
offers `adapted(name, weight)` likewise.

Source: Carreira & Zisserman 2017, Quo vadis, action recognition?, section 2.4,
https://arxiv.org/abs/1705.07750, for inflation
"""

import functools
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from torch import Tensor, nn

from medseg.blocks.inflation import inflated_kernel

Rename = Callable[[str], str | None]
State = Mapping[str, Tensor]

ENOUGH = 0.9
"""Share of the weights meant to be filled below which loading is refused."""

TABLE = "relative_position_bias_table"
"""What weights are called that show how many heads an attention has."""

WRAPPERS = ("state_dict", "model", "network_weights")
"""Under which keys training programs keep the weights in a checkpoint."""


@dataclass(frozen=True, slots=True)
class Source:
    """Weights that others published and a network can begin with.

    Attributes:
        what: For the reader: which network, trained on what.
        rename: Maps their name of a weight to this network's; None if the network has no use for
            it. Does not raise on names that it does not know.
        part: Pattern of the names of those of this network's weights that they are meant to fill.
        hint: What the reader should know about them, if anything.
        check: Raises ValueError if the network was built with options that do not suit them.
        flat: Whether they are of an image's network, and their layout that of images.
        exact: Whether windows and patches must be the network's own, for theirs are not known.
        twin: Maps a weight of this network that is filled to one of the same shape that begins
            with the same values; None if there is none.
    """

    what: str
    rename: Rename
    part: str = ""
    hint: str = ""
    check: Callable[[nn.Module], None] = lambda _network: None
    flat: bool = False
    exact: bool = False
    twin: Rename = lambda _name: None


MODEL: Final = {"model": Source(what="a model of medseg", rename=lambda name: name, exact=True)}
"""A network's own names."""


@dataclass(frozen=True, slots=True)
class Report:
    """What became of weights that were loaded.

    Attributes:
        what: Which source they were recognised as.
        matched: Names of the network's weights that were filled.
        adapted: Those of `matched` whose shape was another.
        missing: Names of the weights that were meant to be filled and were not.
        unexpected: Their names of weights that the network has no place for.
        hint: What the reader should know about them, if anything.
    """

    what: str
    matched: tuple[str, ...]
    adapted: tuple[str, ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    hint: str = ""

    @property
    def share(self) -> float:
        """Share of the weights meant to be filled that were filled, 0 to 1."""
        return len(self.matched) / max(1, len(self.matched) + len(self.missing))

    def __str__(self) -> str:
        lines = [
            f"{self.what}: {len(self.matched)} weights matched, {len(self.adapted)} of them "
            f"adapted; {len(self.missing)} missing, {len(self.unexpected)} unexpected"
        ]
        for kind, names in (("missing", self.missing), ("unexpected", self.unexpected)):
            if names:
                more = f" and {len(names) - 5} more" if len(names) > 5 else ""
                lines.append(f"  {kind}: {', '.join(names[:5])}{more}")
        if self.hint:
            lines.append(f"  {self.hint}")
        return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class _Fit:
    """Weights made to fit a network, and the report that belongs to them."""

    weights: dict[str, Tensor]
    report: Report

    def better(self, source: Source) -> tuple[float, int, bool]:
        """Return what is larger for the better of two; of equals, weights of volumes are."""
        return self.report.share, len(self.weights), not source.flat


def load(network: nn.Module, state: State, sources: Mapping[str, Source]) -> Report:
    """Fill `network` with weights of the source that they fit best.

    Args:
        network: Its weights are overwritten in place.
        state: Weights by the names that their publisher gave them.
        sources: Where they may come from.

    Raises:
        ValueError: Less than nine tenths of the weights that the best source is meant to fill
            would be filled, or the network's options do not suit it; the network is unchanged.
    """
    if not sources:
        raise ValueError(f"{type(network).__name__} knows no weights of others (no SOURCES)")
    fits = {name: _fit(network, state, source) for name, source in sources.items()}
    best = max(fits, key=lambda name: fits[name].better(sources[name]))
    weights, report = fits[best].weights, fits[best].report
    if report.share < ENOUGH:
        raise ValueError(
            f"these weights do not fit {type(network).__name__}; of all sources it knows "
            f"({', '.join(sources)}) they fit best as {report}"
        )
    check_same_heads(network, ((sources[best].rename(name), w) for name, w in state.items()))
    sources[best].check(network)
    network.load_state_dict(weights, strict=False)
    return report


def check_same_heads(network: nn.Module, state: Iterable[tuple[str | None, Tensor]]) -> None:
    """Refuse weights of attention with other heads: they fit by shape, and mean something else.

    Args:
        network: Its attention tells its `heads`.
        state: Weights by our names; tables of position biases have a column for each head.

    Raises:
        ValueError: Some attention has other heads.
    """
    modules = dict(network.named_modules())
    for name, weight in state:
        place, _, last = (name or "").rpartition(".")
        heads = getattr(modules.get(place), "heads", None)
        if last == TABLE and heads not in (None, weight.shape[-1]):
            raise ValueError(
                f"these weights are of {weight.shape[-1]} heads at {place}, where "
                f"{type(network).__name__} has {heads}; build it with the heads of the weights"
            )


def linear_layers(name: str) -> str:
    """Call the two maps of a feed-forward network as we do, not `fc1` and `fc2`."""
    return re.sub(r"\bmlp\.fc(?=[12]\.)", "mlp.linear", name)


def unwrapped(checkpoint: object) -> dict[str, Tensor]:
    """Return the weights in a checkpoint, without the prefix that parallel training adds.

    Raises:
        ValueError: It holds none.
    """
    if not isinstance(checkpoint, Mapping):
        raise ValueError(f"weights must be given by their names, got a {type(checkpoint).__name__}")
    for key in WRAPPERS:
        if isinstance(checkpoint.get(key), Mapping):
            return unwrapped(checkpoint[key])
    state = {name: value for name, value in checkpoint.items() if isinstance(value, Tensor)}
    if not state:
        raise ValueError(f"there are no weights in it, only {sorted(checkpoint)[:5]}")
    if all(name.startswith("module.") for name in state):
        return {name.removeprefix("module."): value for name, value in state.items()}
    return state


def _fit(network: nn.Module, state: State, source: Source) -> _Fit:
    """Match weights by name, and adapt those of another shape."""
    own = dict(network.named_parameters())
    kept = {name for name, _ in network.named_buffers()}
    weights: dict[str, Tensor] = {}
    adapted, unexpected = [], []
    for theirs, value in state.items():
        name = source.rename(theirs)
        if name in kept:
            continue
        fitted = None if name not in own else _shaped(network, name, value.float(), source)
        if name is None or fitted is None:
            unexpected.append(theirs)
            continue
        weights |= {place: fitted for place in (name, source.twin(name)) if place in own}
        if value.shape != fitted.shape:
            adapted.append(name)
    missing = [name for name in own if re.match(source.part, name) and name not in weights]
    report = Report(
        source.what,
        matched=tuple(weights),
        adapted=tuple(adapted),
        missing=tuple(missing),
        unexpected=tuple(unexpected),
        hint=source.hint,
    )
    return _Fit(weights, report)


def _shaped(network: nn.Module, name: str, weight: Tensor, source: Source) -> Tensor | None:
    """Return `weight` in the shape of the network's weight `name`, or None if that cannot be."""
    target = network.get_parameter(name)
    if weight.shape == target.shape and not source.flat:
        return weight
    module = network.get_submodule(name.rpartition(".")[0])
    made: Tensor | None = None
    if isinstance(module, nn.Conv3d | nn.ConvTranspose3d) and target.ndim == 5:
        transposed = isinstance(module, nn.ConvTranspose3d)
        if weight.ndim == (4 if source.flat else 5):
            made = inflated_kernel(weight, target.shape, transposed=transposed)
    elif not source.exact:
        rule = _rule(network, name, "inflated" if source.flat else "adapted")
        made = weight if rule is None else rule(weight)
    return made if made is not None and made.shape == target.shape else None


def _rule(network: nn.Module, name: str, method: str) -> Callable[[Tensor], Tensor | None] | None:
    """Find the innermost block around the weight `name` that has a rule of its own."""
    parts = name.split(".")
    for depth in range(len(parts) - 1, -1, -1):
        rule = getattr(network.get_submodule(".".join(parts[:depth])), method, None)
        if rule is not None:
            return functools.partial(rule, ".".join(parts[depth:]))
    return None
