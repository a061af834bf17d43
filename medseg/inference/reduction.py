"""Less at once when memory is short: a smaller batch, then a smaller tile, then the processor.

A smaller batch changes nothing. A smaller tile gives each voxel less surroundings, so that it gives
the same as if the model had been applied with that tile from the beginning.
"""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Final, TypeVar

import torch

from medseg import memory
from medseg.inference.predict import Predictor, load
from medseg.model import Model
from medseg.shapes import Shape

MULTIPLE: Final = 32
"""Tiles are shortened to multiples of this, which every network divides without a remainder."""

Result = TypeVar("Result")


class DeviceTooSmallError(MemoryError):
    """Not even the smallest tile fits the GPU, by what it is known to take."""


def smaller(predictor: Predictor) -> Predictor | None:
    """Return all models with half the batch, else with half a tile; None if there is no less.

    Of several models each is halved that can be, as the one that needs most is not known.
    """
    models = predictor.models
    less = [_with_half_the_batch(model) for model in models]
    if not any(less):
        less = [_with_half_a_tile(model) for model in models]
    if not any(less):
        return None
    first, *others = (new or old for new, old in zip(less, models, strict=True))
    return replace(predictor, bundle=first, others=tuple(others))


def _with_half_the_batch(model: Model) -> Model | None:
    how = model.plan.inference
    if how.batch == 1:
        return None
    return _changed(model, inference=how.model_copy(update={"batch": how.batch // 2}))


def _with_half_a_tile(model: Model) -> Model | None:
    patch = _halved(model.plan.patch)
    return None if patch is None else _changed(model, patch=patch)


def _changed(model: Model, **fields: object) -> Model:
    return replace(model, plan=model.plan.model_copy(update=fields))


def _halved(patch: Shape) -> Shape | None:
    longest = patch.index(max(patch))
    half = MULTIPLE * math.ceil(patch[longest] / 2 / MULTIPLE)
    if half >= patch[longest]:
        return None
    i, j, k = (half if n == longest else size for n, size in enumerate(patch))
    return (i, j, k)


class Reducing:
    """A model that is applied with less and less at once where memory runs out.

    The batch and tile that were found to fit hold for the scans that follow, as a network takes
    the same for each of them. The processor is for one scan: it was too large, or the GPU was in
    use elsewhere, and the next one begins with the GPU and the whole tile again. So it does after a
    scan that fitted nowhere. The network that was given stays where it is; the processor's is read
    from the model's files when it is first needed, and kept. Both compute in what either settled
    on, so that all scans are done alike.

    Args:
        predictor: The model as it is to be applied.
        tell: Is told of each step, once.

    Attributes:
        predictor: The model as the next scan begins with it.
    """

    def __init__(self, predictor: Predictor, tell: Callable[[str], None]) -> None:
        self.predictor = self._whole = predictor
        self._on_processor: Predictor | None = None
        self._tell, self._told = tell, set[str]()

    def run(self, act: Callable[[Predictor], Result]) -> Result:
        """Return what `act` returns for the model, or for the first smaller one that fits.

        Raises:
            MemoryError: There is no less.
        """
        tried = self.predictor
        while True:
            try:
                result = act(tried)
            except Exception as error:
                if not memory.ran_out(error):
                    raise
                reason = " ".join(str(error).split())
                less = None if isinstance(error, DeviceTooSmallError) else smaller(tried)
            else:
                self._begin_next_with(tried)
                return result
            tried = self._less(tried, less, reason)

    def _begin_next_with(self, tried: Predictor) -> None:
        self.predictor = tried
        if tried.device != self._whole.device:
            self._whole.settle_as(tried.settled)
            self.predictor = self._whole

    def _less(self, tried: Predictor, less: Predictor | None, reason: str) -> Predictor:
        if less is not None:
            plan = less.bundle.plan
            batch, tile = plan.inference.batch, "x".join(map(str, plan.patch))
            self._say(f"Memory ran out; going on with tiles of {tile}, {batch} at once")
        elif tried.device.type != "cpu":
            less = self._of_processor()
            self._say("The GPU's memory ran out; going on with the processor, which takes longer")
        else:
            self.predictor = self._whole
            raise MemoryError(f"{reason:.200}")
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        return less

    def _of_processor(self) -> Predictor:
        if self._on_processor is None:
            whole = self._whole
            self._on_processor = load(
                whole.bundle, torch.device("cpu"), whole.options, others=whole.others
            )
        self._on_processor.settle_as(self._whole.settled)
        return self._on_processor

    def _say(self, text: str) -> None:
        if text not in self._told:
            self._told.add(text)
            self._tell(text)
