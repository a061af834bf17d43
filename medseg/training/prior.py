"""Outputs that begin at how often their region occurs, instead of at one half.

With sigmoid outputs a fresh network calls half of the voxels a lesion, and the many that are not
drown the few that are: training first has to unlearn the background. A bias that says the
frequency spares it that. Softmax outputs, which share their probability with background, are left
alone: whether it helps them was not measured.

Source: Lin et al. 2017, Focal loss for dense object detection, section 4.1,
https://arxiv.org/abs/1708.02002
"""

from typing import Final

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor, nn

from medseg import networks
from medseg.data.store import StoredCase
from medseg.task import Task
from medseg.training.module import label_targets

RAREST: Final = 1e-4
"""Smallest frequency assumed, so that an absent region can still be learnt."""


@torch.no_grad()
def begin_at_frequency(network: nn.Module, task: Task, cases: list[StoredCase]) -> None:
    """Set the bias of the network's head to the log-odds of each overlapping region.

    Args:
        network: A network of `medseg.networks`.
            Nothing is done if its head has no bias (`HEAD_BIAS`).
        task: Nothing is done if its regions exclude each other.
        cases: The training cases.
    """
    if task.exclusive or not hasattr(network, "HEAD_BIAS"):
        return
    networks.head_bias(network).copy_(torch.logit(frequencies(task, cases), eps=RAREST))


def frequencies(task: Task, cases: list[StoredCase]) -> Float32[Tensor, " outputs"]:
    """Return the part of all voxels that lies in each region, 0 to 1."""
    labels = len(task.labels) + 1
    counts = sum(np.bincount(case.labels.ravel(), minlength=labels) for case in cases)
    parts = torch.from_numpy(counts / np.sum(counts)).float()
    return parts @ label_targets(task)
