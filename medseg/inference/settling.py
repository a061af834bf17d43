"""A network that chooses its precision when it has seen a scan.

It answers in the proposed precision, and keeps a few patches to judge that by: together they hold
most of what it takes for each label, however small the label is. When the scan is done, these are
computed in float32 as well. Where the answers differ too much, the scan is computed again, all in
float32.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import torch
from jaxtyping import Float, Int64, Shaped
from torch import Tensor, nn

from medseg.inference.precision import Logits, Patches, Precision, lowered

MOST_PATCHES: Final = 4
"""How many are computed in float32 too: what the choice costs, at most, if it holds."""
ONE_IN: Final = 8
"""Of so many patches one is, so that a small scan does not take much longer; but always one."""
LEAST_AGREEMENT: Final = 0.998
"""Part of the voxels whose label, or set of regions, must be that of float32."""
LEAST_DICE: Final = 0.98
"""Of each label or region with that of float32."""
FEW: Final = 4
"""Voxels of a label that may differ even if its Dice is then less, as that of some specks is."""
_LIKELY: Final = 0.25
"""How probable a label must be for a voxel to tell of it; one lost by rounding was probable too."""
_PLANES: Final = 8

Decided = Shaped[Tensor, "regions i j k"]
"""Of every voxel the label, for one region, or whether it is in each of several."""


@dataclass(frozen=True, eq=False)
class Telling:
    """A patch to judge a precision by.

    Attributes:
        patch: With its channels.
        decided: What was decided in the proposed precision; see `decide`.
        likely: For each label or region in how many voxels it is likely.
    """

    patch: Float[Tensor, "one channels i j k"]
    decided: Decided
    likely: Int64[Tensor, " labels"]


class Settling(nn.Module):
    """A network in the precision that was asked for, or that agrees with float32 on a first scan.

    Until it has settled, calling it answers in float32; see `begin`.

    Args:
        network: In evaluation mode, in float32.
        precision: That was chosen.
        exclusive: Whether a voxel's largest logit is its label; else those above 0 are.
        is_settled: Whether the precision was asked for, and holds whatever comes of it.
    """

    def __init__(
        self, network: nn.Module, precision: Precision, *, exclusive: bool, is_settled: bool
    ) -> None:
        super().__init__()
        self.precision = precision
        self.is_settled = is_settled or precision.dtype == torch.float32
        self.network = lowered(network, precision.dtype) if self.is_settled else network
        self._proposed: nn.Module | None = None
        self._exclusive = exclusive
        self._kept: list[Telling] = []
        self._seen = 0
        self.eval()

    def begin(self) -> Callable[[Patches], Logits]:
        """Return what to apply to all patches of a scan; what was seen of others is forgotten."""
        if self.is_settled:
            return self
        self.forget()
        if self._proposed is None:
            self._proposed = lowered(self.network, self.precision.dtype)
        return self._observed

    def forget(self) -> None:
        """Forget what was seen."""
        self._kept, self._seen = [], 0

    def settle(self) -> bool:
        """Decide on the precision, once, if any patch was seen since `begin`.

        Returns:
            Whether the answers since then hold; else the scan is to be computed again.
        """
        if self.is_settled or self._proposed is None or not self._kept:
            return True
        while len(self._kept) > max(1, self._seen // ONE_IN):
            del self._kept[least_telling([each.likely for each in self._kept])]
        with torch.inference_mode():
            exact = [
                decide(self.network(each.patch)[0], exclusive=self._exclusive)
                for each in self._kept
            ]
        labels = len(self._kept[0].likely) if self._exclusive else None
        fault, said = judged([each.decided for each in self._kept], exact, labels=labels)
        if fault:
            self._take(self.network, Precision(torch.float32, f"in {self.precision.name} {said}"))
        else:
            reason = f"{self.precision.reason}; {said}"
            self._take(self._proposed, Precision(self.precision.dtype, reason))
        return not fault

    def settle_as(self, precision: Precision) -> None:
        """Take a precision that was settled elsewhere, unless the weights are rounded already."""
        if not self.is_settled or self.precision.dtype == torch.float32:
            self._take(lowered(self.network, precision.dtype), precision)

    def forward(self, patches: Patches) -> Logits:
        """Apply the network."""
        logits: Tensor = self.network(patches)
        return logits

    def _take(self, network: nn.Module, precision: Precision) -> None:
        self.network, self.precision, self.is_settled = network, precision, True
        self._proposed, self._kept = None, []

    def _observed(self, patches: Patches) -> Logits:
        """Answer in the proposed precision, and keep what tells most."""
        if self._proposed is None:
            return self(patches)
        logits: Tensor = self._proposed(patches)
        for patch, answer in zip(patches, logits, strict=True):
            self._seen += 1
            self._note(patch, answer)
        return logits

    def _note(
        self, patch: Float[Tensor, "channels i j k"], answer: Float[Tensor, "outputs i j k"]
    ) -> None:
        """Keep a patch in the place of one that tells less."""
        likely = count_likely(answer, exclusive=self._exclusive)
        if len(self._kept) == MOST_PATCHES:
            least = least_telling([*(each.likely for each in self._kept), likely])
            if least == MOST_PATCHES:
                return
            del self._kept[least]
        decided = decide(answer, exclusive=self._exclusive)
        self._kept.append(Telling(patch[None].clone(), decided, likely))


def decide(logits: Float[Tensor, "outputs i j k"], *, exclusive: bool) -> Decided:
    """Return the label of every voxel, or for each region whether the voxel is in it."""
    return logits.argmax(dim=0, keepdim=True).to(torch.int16) if exclusive else logits > 0


def count_likely(
    logits: Float[Tensor, "outputs i j k"], *, exclusive: bool
) -> Int64[Tensor, " labels"]:
    """Count for each label or region the voxels that are likely to be of it, on the processor."""
    total = torch.zeros(len(logits), dtype=torch.int64, device=logits.device)
    for first in range(0, logits.shape[1], _PLANES):  # probabilities of all are never held
        planes = logits[:, first : first + _PLANES]
        probable = planes.float().softmax(dim=0) if exclusive else planes.float().sigmoid()
        total += (probable > _LIKELY).flatten(1).sum(dim=1)
    return total.cpu()[int(exclusive) :]


def least_telling(likely: list[Int64[Tensor, " labels"]]) -> int:
    """Return which of some patches is missed least, the last of them if several are.

    A set of patches tells of a label as much as that one of them does which holds most of it. All
    labels count alike, whatever their size.
    """
    counts = torch.stack(likely).double()
    parts = counts / counts.amax(dim=0).clamp(min=1)
    told = [
        float(parts[[other for other in range(len(parts)) if other != left_out]].amax(dim=0).sum())
        for left_out in range(len(parts))
    ]
    return max(range(len(told)), key=lambda left_out: (told[left_out], left_out))


def judged(found: list[Decided], exact: list[Decided], *, labels: int | None) -> tuple[bool, str]:
    """Compare what was decided on some patches with what float32 decides.

    Args:
        found: In the proposed precision.
        exact: In float32.
        labels: How many there are; None if these are regions.

    Returns:
        Whether they are too different, and what is to be said of it.
    """
    pairs = list(zip(found, exact, strict=True))
    same = [(one == other).all(dim=0) for one, other in pairs]
    agreed = sum(int(each.sum()) for each in same) / sum(each.numel() for each in same)
    sizes, shared = (
        torch.stack(each).sum(dim=0)
        for each in zip(*(_sizes(one, other, labels) for one, other in pairs), strict=True)
    )
    dice = torch.where(sizes - 2 * shared > FEW, 2 * shared / sizes.clamp(min=1), 1.0)
    least = float(dice.min())
    said = f"{agreed:.2%} of the labels are those of float32"
    if agreed < LEAST_AGREEMENT:
        return True, f"only {said}, less than {LEAST_AGREEMENT:.1%}"
    if least < LEAST_DICE:
        return True, f"{said}, but the Dice of one label is {least:.3f}, less than {LEAST_DICE}"
    return False, said if sizes.any() else f"{said}, all of them background"


def _sizes(
    one: Decided, other: Decided, labels: int | None
) -> tuple[Int64[Tensor, " labels"], Int64[Tensor, " labels"]]:
    """Count for each label or region the voxels of both, and those in common."""
    if labels is None:
        both = one & other
        return one.flatten(1).sum(dim=1) + other.flatten(1).sum(dim=1), both.flatten(1).sum(dim=1)
    all_of_one, all_of_other, shared = (
        torch.bincount(each.flatten().long(), minlength=labels + 1)[1:]
        for each in (one, other, one[one == other])
    )
    return all_of_one + all_of_other, shared
