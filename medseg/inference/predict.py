"""One scan in, one segmentation out."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor, nn

from medseg.data.preprocessing import (
    ImageOnDemand,
    Logits,
    Measured,
    Prepared,
    restore,
    restore_measured,
)
from medseg.inference.sliding_window import Tiling, logit_slabs, predict_logits
from medseg.model import Model
from medseg.recipe import Plan
from medseg.segmentation import Segmentation
from medseg.shapes import Image, Scores
from medseg.volume import Volume


@dataclass(frozen=True)
class Predictor:
    """A model whose network is loaded on a device."""

    bundle: Model
    network: nn.Module
    device: torch.device


def load(bundle: Model, device: torch.device) -> Predictor:
    """Build the model's network on `device`.

    Raises:
        ModelError: The weights do not fit.
    """
    return Predictor(bundle, bundle.build_network().to(device), device)


def predict(predictor: Predictor, volume: Volume) -> Segmentation:
    """Segment a scan on its own grid."""
    return predict_prepared(predictor, predictor.bundle.prepare(volume))


def predict_prepared(predictor: Predictor, prepared: Prepared) -> Segmentation:
    """Segment a scan that was made ready for the network."""
    axis, pieces = logit_pieces(predictor.network, prepared.image, predictor.bundle.plan)
    return restore(pieces, prepared, predictor.bundle.task, axis=axis)


def predict_measured(predictor: Predictor, volume: Volume, *, keep_entropy: bool) -> Measured:
    """Segment a scan on its own grid, and say how sure the network is of it."""
    prepared = predictor.bundle.prepare(volume)
    axis, pieces = logit_pieces(predictor.network, prepared.image, predictor.bundle.plan)
    task = predictor.bundle.task
    return restore_measured(pieces, prepared, task, axis=axis, keep_entropy=keep_entropy)


def logit_pieces(
    network: nn.Module, image: Image | ImageOnDemand, plan: Plan
) -> tuple[int, Iterator[Logits]]:
    """Return the longest axis of an image, and along it the logits piece by piece.

    A piece is valid until the next one is asked for: together they are never held.
    """
    axis = image.shape.index(max(image.shape[1:]), 1) - 1
    device = next(network.parameters()).device
    slabs = logit_slabs(network, _tensor(image), tiling(plan), axis=axis, device=device)
    return axis, (slab.cpu().numpy() for slab in slabs)


def logits(network: nn.Module, image: Image, plan: Plan) -> Scores:
    """Apply a network to a prepared image, on the device where the network's weights are."""
    device = next(network.parameters()).device
    given = _tensor(image)
    return predict_logits(network, given, tiling(plan), device=device).cpu().numpy()


def tiling(plan: Plan) -> Tiling:
    """Return how a plan takes images apart."""
    how = plan.inference
    return Tiling(plan.patch, how.overlap, how.batch, blend=how.blend)


def _tensor(image: Image | ImageOnDemand) -> Float32[Tensor, "channels i j k"] | ImageOnDemand:
    if isinstance(image, ImageOnDemand):
        return image
    return torch.from_numpy(np.require(image, requirements="W"))  # a copy if it is read-only
