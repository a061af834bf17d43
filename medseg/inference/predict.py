"""One scan in, one segmentation out."""

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
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
from medseg.inference.loading import InTurn, loaded
from medseg.inference.options import Options
from medseg.inference.precision import Precision, choose
from medseg.inference.settling import Settling
from medseg.inference.sliding_window import Outside, Tiling, logit_slabs, predict_logits
from medseg.model import Model, prepare_alike
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
        network: Its network; `InTurn` where the models have several, of which one is in memory.
        device: Where the network is.
        options: How it is applied.
        others: Models whose probabilities are averaged with its own.
    """

    bundle: Model
    network: nn.Module
    device: torch.device
    options: Options = field(default_factory=Options)
    others: tuple[Model, ...] = ()

    @property
    def models(self) -> tuple[Model, ...]:
        """All models."""
        return (self.bundle, *self.others)

    @property
    def hash(self) -> str:
        """SHA-256 that the same models share."""
        return ensemble.hash_of([model.hash for model in self.models])

    def network_of(self, number: int) -> nn.Module:
        """Return the network of a member, counted through all models; others are let go of.

        Raises:
            ModelError: The weights do not fit.
        """
        return self.network.take(number) if isinstance(self.network, InTurn) else self.network

    @property
    def settled(self) -> dict[int, Precision]:
        """What the networks compute in, by their numbers, as far as that is known for all scans."""
        network = self.network
        if isinstance(network, InTurn):
            return network.found
        if isinstance(network, Settling) and network.is_settled:
            return {0: network.precision}
        return {}

    def settle_as(self, precisions: Mapping[int, Precision]) -> None:
        """Compute in what was settled elsewhere, by the numbers of the networks."""
        if isinstance(self.network, InTurn):
            self.network.settle_as(precisions)
        elif isinstance(self.network, Settling) and 0 in precisions:
            self.network.settle_as(precisions[0])


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
) -> Predictor:
    """Build the model's network on `device`.

    Several networks, of several models or of the folds of one, need the memory of the largest: each
    is read anew for every scan, and is gone before the next one is read. That costs a reading per
    network and scan, in which the result does not depend on what was segmented before.

    Raises:
        ModelError: The weights do not fit.
        UsageError: The others segment something else.
    """
    options = Options() if options is None else options
    ensemble.require_same_task((bundle, *others))
    members = [member for model in (bundle, *others) for member in model.members]
    network: nn.Module
    if len(members) == 1:
        network = loaded(bundle, device, options.precision)
    else:
        network = InTurn(members, device, options.precision)
    return Predictor(bundle, network, device, options, others)


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
    network, before = predictor.network, predictor.settled
    if not isinstance(network, Settling | InTurn):
        return act()
    network.forget()
    found = [act()]
    network.settle()
    proposed = choose(predictor.options.precision, predictor.device)
    new = [precision for n, precision in predictor.settled.items() if n not in before]
    if all(precision.dtype == proposed.dtype for precision in new):
        return found[0]
    found.clear()  # not held meanwhile
    return act()


def logit_pieces(predictor: Predictor, ready: Ready) -> tuple[int, Iterator[Logits]]:
    """Return an axis of the prepared image, and along it the logits piece by piece.

    A piece is valid until the next one is asked for: together they are never held. The axis is the
    longest, where the pieces are smallest. Where a precision is not settled, they are in the one
    that is proposed.

    Of several networks one is held at a time, with what it alone would hold, and beside it a
    running sum on the grid of the first model's image (`ensemble.held_bytes`): one of the models'
    probabilities if there are several models, and one of the folds' logits while a model of several
    folds is applied. A model that prepares scans otherwise than the first holds its image beside
    the first one's.
    """
    image = ready.prepared.image
    axis = image.shape.index(max(image.shape[1:]), 1) - 1
    folds = [model.members for model in predictor.models]
    if sum(map(len, folds)) == 1:
        return axis, _pieces(predictor, 0, predictor.bundle, ready, axis)
    firsts = itertools.accumulate(map(len, folds), initial=0)
    members = [
        partial(_of_model, predictor, first, model, ready, axis)
        for first, model in zip(firsts, predictor.models, strict=False)
    ]
    several = len(members) > 1
    pieces = ensemble.mean_logits(members, predictor.bundle.task) if several else members[0]()
    return axis, (np.moveaxis(piece, 1, 1 + axis) for piece in pieces)


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


def _pieces(
    predictor: Predictor, number: int, model: Model, ready: Ready, axis: int
) -> Iterator[Logits]:
    """Return the logits of one network on the grid of a prepared image, along an axis of it.

    Args:
        predictor: What it belongs to.
        number: Of the network, see `Predictor.network_of`.
        model: Whose network it is.
        ready: A scan, prepared for that model.
        axis: Of the image.
    """
    options, network, prepared = predictor.options, predictor.network_of(number), ready.prepared
    how, image = tiling_of(model, options), _tensor(prepared.image)
    answering = network.begin() if isinstance(network, Settling) else network
    mask = foreground.outside_of(ready.volume, prepared, model.task) if options.skip else None
    background = torch.from_numpy(foreground.background_logits(model.task))
    outside = None if mask is None else Outside(torch.from_numpy(mask), background)
    slabs = logit_slabs(answering, image, how, axis=axis, device=predictor.device, outside=outside)
    return (slab.cpu().numpy() for slab in slabs)


def _of_model(
    predictor: Predictor, first: int, model: Model, ready: Ready, axis: int
) -> Iterator[Logits]:
    """Return the logits of one of several models, with `axis` first, on the grid of them all.

    The grid is that of the image of the first model. Folds are averaged in their logits, which is
    what nnU-Net does.

    Args:
        predictor: All models.
        first: Number of the model's first network.
        model: One of them.
        ready: A scan, prepared for the first model.
        axis: Of the image.
    """
    also = _ready_for(model, predictor, ready)
    axes = [axis, *(other for other in range(3) if other != axis)]
    length = also.prepared.image.shape[1 + axis]
    i, j, k = (ready.prepared.image.shape[1 + other] for other in axes)
    between = _between(also.prepared, ready.prepared)
    cut = None if between is None else between.ordered(axes)

    def of_fold(number: int, fold: Model) -> Iterator[Logits]:
        pieces = _pieces(predictor, number, fold, also, axis)
        turned = (np.moveaxis(piece, 1 + axis, 1) for piece in pieces)
        return resampling.slabs(turned, length, (i, j, k), cut=cut)

    folds: tuple[Model, ...] = model.members
    members = [partial(of_fold, *fold) for fold in enumerate(folds, first)]
    return ensemble.mean(members) if len(members) > 1 else members[0]()


def _ready_for(other: Model, predictor: Predictor, ready: Ready) -> Ready:
    """Prepare the part of a scan for another model that was made ready for the first.

    Raises:
        UsageError: The two see different parts of a scan, or its axes in another order.
    """
    first, place = ready.prepared, None
    how, usual = (tiling_of(model, predictor.options) for model in (other, predictor.bundle))
    if prepare_alike(other, predictor.bundle) and (first.part is None or how == usual):
        return ready
    if first.part is not None:
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
