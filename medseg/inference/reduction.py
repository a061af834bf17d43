"""Less at once when memory is short: a smaller batch, then a smaller tile, then the processor."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Final, TypeVar

import torch

from medseg.costs import ALLOCATOR
from medseg.inference.predict import Predictor
from medseg.shapes import Shape

MULTIPLE: Final = 32
"""Tiles are shortened to multiples of this, which every network divides without a remainder."""

Result = TypeVar("Result")


def smaller(predictor: Predictor) -> Predictor | None:
    """Return the model with half the batch, else with half a tile; None if there is no less."""
    plan = predictor.bundle.plan
    if plan.inference.batch > 1:
        half = plan.inference.model_copy(update={"batch": plan.inference.batch // 2})
        return _changed(predictor, inference=half)
    patch = _halved(plan.patch)
    return None if patch is None else _changed(predictor, patch=patch)


def _changed(predictor: Predictor, **fields: object) -> Predictor:
    bundle = predictor.bundle
    return replace(predictor, bundle=replace(bundle, plan=bundle.plan.model_copy(update=fields)))


def _halved(patch: Shape) -> Shape | None:
    longest = patch.index(max(patch))
    half = MULTIPLE * math.ceil(patch[longest] / 2 / MULTIPLE)
    if half >= patch[longest]:
        return None
    i, j, k = (half if n == longest else size for n, size in enumerate(patch))
    return (i, j, k)


class Reducing:
    """A model that is applied with less and less at once where memory runs out.

    What was found to fit holds for the scans that follow.

    Args:
        predictor: The model as it is to be applied.
        tell: Is told of each step, once.
    """

    def __init__(self, predictor: Predictor, tell: Callable[[str], None]) -> None:
        self.predictor = self._whole = predictor
        self._tell = tell

    def run(self, act: Callable[[Predictor], Result]) -> Result:
        """Return what `act` returns for the model, or for the first smaller one that fits.

        Raises:
            MemoryError: There is no less.
        """
        while True:
            try:
                return act(self.predictor)
            except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
                if not _is_of_memory(error):
                    raise
                reason = " ".join(str(error).split())
            self._reduce(reason)

    def _reduce(self, reason: str) -> None:
        less = smaller(self.predictor)
        if less is not None:
            plan = less.bundle.plan
            batch, tile = plan.inference.batch, "x".join(map(str, plan.patch))
            self._tell(f"Memory ran out; going on with tiles of {tile}, {batch} at once")
        elif self.predictor.device.type != "cpu":
            network = self.predictor.network.to("cpu")
            less = replace(self._whole, network=network, device=torch.device("cpu"))
            self._tell("The GPU's memory ran out; going on with the processor, which takes longer")
        else:
            raise MemoryError(f"{reason:.200}")
        self.predictor = less
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def _is_of_memory(error: Exception) -> bool:
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return ALLOCATOR in str(error)
