"""One scan in, one segmentation out."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from medseg.data.preprocessing import Measured, restore, restore_measured
from medseg.inference.sliding_window import Tiling, predict_logits
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
    task, plan = predictor.bundle.task, predictor.bundle.plan
    prepared = predictor.bundle.prepare(volume)
    return restore([logits(predictor.network, prepared.image, plan)], prepared, task)


def predict_measured(predictor: Predictor, volume: Volume, *, keep_entropy: bool) -> Measured:
    """Segment a scan on its own grid, and say how sure the network is of it."""
    task, plan = predictor.bundle.task, predictor.bundle.plan
    prepared = predictor.bundle.prepare(volume)
    scores = logits(predictor.network, prepared.image, plan)
    return restore_measured([scores], prepared, task, keep_entropy=keep_entropy)


def logits(network: nn.Module, image: Image, plan: Plan) -> Scores:
    """Apply a network to a prepared image, on the device where the network's weights are."""
    device = next(network.parameters()).device
    how = plan.inference
    tiling = Tiling(plan.patch, how.overlap, how.batch, blend=how.blend)
    given = torch.from_numpy(np.require(image, requirements="W")).to(device)
    return predict_logits(network, given, tiling).cpu().numpy()
