"""One scan in, one segmentation out."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor, nn

from medseg.data import resampling
from medseg.data.preprocessing import (
    ImageOnDemand,
    Logits,
    Measured,
    Prepared,
    restore,
    restore_measured,
)
from medseg.errors import UsageError
from medseg.inference import ensemble, foreground
from medseg.inference.options import Options
from medseg.inference.precision import Precision, choose
from medseg.inference.settling import Settling
from medseg.inference.sliding_window import Outside, Tiling, logit_slabs, predict_logits
from medseg.model import Model
from medseg.recipe import Plan
from medseg.segmentation import Segmentation
from medseg.shapes import Image, Scores
from medseg.volume import Volume

Result = TypeVar("Result")


@dataclass(frozen=True)
class Predictor:
    """A model whose network is loaded on a device.

    Attributes:
        bundle: The model.
        network: Its network.
        device: Where the network is.
        options: How it is applied.
        others: Models whose probabilities are averaged with its own; their networks are loaded one
            after the other for each scan.
        settled: What the models compute in, by their place among `models`, once that is known.
    """

    bundle: Model
    network: nn.Module
    device: torch.device
    options: Options = field(default_factory=Options)
    others: tuple[Model, ...] = ()
    settled: dict[int, Precision] = field(default_factory=dict)

    @property
    def models(self) -> tuple[Model, ...]:
        """All models."""
        return (self.bundle, *self.others)

    @property
    def hash(self) -> str:
        """SHA-256 that the same models share."""
        return ensemble.hash_of([model.hash for model in self.models])

    def settle_as(self, precisions: Mapping[int, Precision]) -> None:
        """Compute in what was settled elsewhere, by the places of the models."""
        self.settled.update(precisions)
        if 0 in precisions and isinstance(self.network, Settling):
            self.network.settle_as(precisions[0])
            self.settled[0] = self.network.precision


@dataclass(frozen=True, eq=False)
class Ready:
    """A scan that waits for the network.

    Attributes:
        volume: The scan.
        prepared: The part of it that may hold something, as the network sees it.
    """

    volume: Volume
    prepared: Prepared


def load(
    bundle: Model,
    device: torch.device,
    options: Options | None = None,
    *,
    others: tuple[Model, ...] = (),
    settled: Precision | None = None,
) -> Predictor:
    """Build the model's network on `device`.

    Args:
        bundle: The model.
        device: Where to compute.
        options: How it is applied.
        others: Models whose probabilities are averaged with its own.
        settled: What it computes in, if that was settled before.

    Raises:
        ModelError: The weights do not fit.
        UsageError: The others segment something else.
    """
    options = Options() if options is None else options
    ensemble.require_same_task((bundle, *others))
    network = bundle.build_network().to(device)
    precision = settled or choose(options.precision, device)
    asked_for = settled is not None or options.precision != "auto"
    settling = Settling(network, precision, exclusive=bundle.task.exclusive, is_settled=asked_for)
    known = {0: precision} if settling.is_settled else {}
    return Predictor(bundle, settling, device, options, others, known)


def predict(predictor: Predictor, volume: Volume) -> Segmentation:
    """Segment a scan on its own grid."""
    return predict_prepared(predictor, make_ready(predictor, volume))


def predict_measured(predictor: Predictor, volume: Volume, *, keep_entropy: bool) -> Measured:
    """Segment a scan on its own grid, and say how sure the network is of it."""
    ready, task = make_ready(predictor, volume), predictor.bundle.task

    def restored() -> Measured:
        axis, pieces = logit_pieces(predictor, ready)
        return restore_measured(pieces, ready.prepared, task, axis=axis, keep_entropy=keep_entropy)

    return _settled(predictor, restored)


def make_ready(predictor: Predictor, volume: Volume) -> Ready:
    """Prepare what may hold something of a scan."""
    bundle, place = predictor.bundle, None
    if predictor.options.crop:
        how = tiling_of(bundle, predictor.options)
        place = foreground.kept(volume, bundle.task, how, bundle.plan.spacing_mm)
    return Ready(volume, bundle.prepare(volume, place))


def predict_prepared(predictor: Predictor, ready: Ready) -> Segmentation:
    """Segment a scan that was made ready."""

    def restored() -> Segmentation:
        axis, pieces = logit_pieces(predictor, ready)
        return restore(pieces, ready.prepared, predictor.bundle.task, axis=axis)

    return _settled(predictor, restored)


def _settled(predictor: Predictor, act: Callable[[], Result]) -> Result:
    """Act, and once more if a precision that was proposed for it does not agree with float32."""
    unknown = [n for n in range(len(predictor.models)) if n not in predictor.settled]
    found = [act()]
    _note(predictor, 0, predictor.network)
    for number in unknown:
        proposed = choose(predictor.options.precision, predictor.device)
        if predictor.settled.get(number, proposed).dtype != proposed.dtype:
            found.clear()  # not held meanwhile
            return act()
    return found[0]


def _note(predictor: Predictor, number: int, network: nn.Module) -> None:
    """Let a model settle on what it computes in, if it can, and remember that."""
    if isinstance(network, Settling):
        network.settle()
        if network.is_settled:
            predictor.settled[number] = network.precision


def logit_pieces(predictor: Predictor, ready: Ready) -> tuple[int, Iterator[Logits]]:
    """Return an axis of the prepared image, and along it the logits piece by piece.

    A piece is valid until the next one is asked for: together they are never held, but for several
    models. The axis is the longest, where the pieces are smallest. Where the precision is not
    settled, they are in the one that is proposed.
    """
    if predictor.others:
        return 0, iter([_of_all(predictor, ready)])
    image = ready.prepared.image
    axis = image.shape.index(max(image.shape[1:]), 1) - 1
    return axis, _pieces(predictor, ready, axis)


def logits(network: nn.Module, image: Image, plan: Plan) -> Scores:
    """Apply a network to a prepared image, on the device where the network's weights are."""
    device = next(network.parameters()).device
    how = Tiling(plan.patch, plan.inference.overlap, plan.inference.batch)
    how = replace(how, blend=plan.inference.blend)
    return predict_logits(network, _tensor(image), how, device=device).cpu().numpy()


def tiling_of(model: Model, options: Options) -> Tiling:
    """Return how a model's images are taken apart."""
    how = model.plan.inference
    return Tiling(
        model.plan.patch,
        options.overlap_of(how.overlap),
        how.batch,
        mirror_axes=model.mirror_axes if options.tta else (),
        blend=how.blend,
    )


def _pieces(predictor: Predictor, ready: Ready, axis: int) -> Iterator[Logits]:
    model, options = predictor.bundle, predictor.options
    how, image = tiling_of(model, options), _tensor(ready.prepared.image)
    network = predictor.network
    answering = network.begin() if isinstance(network, Settling) else network
    mask = None
    if options.skip:
        mask = foreground.outside_of(ready.volume, ready.prepared, model.task)
    background = torch.from_numpy(foreground.background_logits(model.task))
    outside = None if mask is None else Outside(torch.from_numpy(mask), background)
    slabs = logit_slabs(answering, image, how, axis=axis, device=predictor.device, outside=outside)
    return (slab.cpu().numpy() for slab in slabs)


def _of_all(predictor: Predictor, ready: Ready) -> Scores:
    """Return the logits of the mean of all models."""
    i, j, k = ready.prepared.image.shape[1:]

    def members() -> Iterator[Iterator[Scores]]:
        yield _pieces(predictor, ready, 0)
        for number, other in enumerate(predictor.others, start=1):
            also = _ready_for(other, predictor.options, ready)
            settled = predictor.settled.get(number)
            loaded = load(other, predictor.device, predictor.options, settled=settled)
            pieces = _pieces(loaded, also, 0)
            length, cut = also.prepared.image.shape[1], _between(also.prepared, ready.prepared)
            yield resampling.slabs(pieces, length, (i, j, k), cut=cut)
            _note(predictor, number, loaded.network)  # its pieces have been taken

    return ensemble.mean_logits(members(), (i, j, k), predictor.bundle.task)


def _ready_for(other: Model, options: Options, ready: Ready) -> Ready:
    """Prepare the part of a scan for another model that was made ready for the first.

    Raises:
        UsageError: The two see different parts of a scan, or its axes in another order.
    """
    first, place = ready.prepared, None
    if first.part is not None:
        how = tiling_of(other, options)
        place = foreground.kept_for(first.part, ready.volume, how, other.plan.spacing_mm)
    prepared = other.prepare(ready.volume, place)
    if (prepared.order, prepared.box) != (first.order, first.box):
        raise UsageError(
            "it prepares scans unlike the first of the models",
            where=other.folder,
            remedy="Average models of medseg, or folds of one model of nnU-Net",
        )
    return Ready(ready.volume, prepared)


def _between(source: Prepared, result: Prepared) -> resampling.Cut | None:
    """Return how the part of one model's image is made of that of another's."""
    if source.part is None or result.part is None:
        return None
    given, wanted = source.part, result.part
    first, start = resampling.firsts(given.place), resampling.firsts(wanted.place)
    return resampling.Cut(given.whole, wanted.whole, first, start)


def _tensor(image: Image | ImageOnDemand) -> Float32[Tensor, "channels i j k"] | ImageOnDemand:
    if isinstance(image, ImageOnDemand):
        return image
    return torch.from_numpy(np.require(image, requirements="W"))  # a copy if it is read-only
