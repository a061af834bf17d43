"""Several models that segment the same: the mean of their probabilities.

They are loaded one after the other, so that the networks of two are never used at once.
"""

import hashlib
from collections.abc import Iterable, Sequence

import numpy as np
from jaxtyping import Float32

from medseg.errors import UsageError
from medseg.model import Model
from medseg.shapes import Scores, Shape
from medseg.task import Task

Piece = Float32[np.ndarray, "outputs _ j k"]

_SMALLEST = np.float32(1e-12)


def require_same_task(models: Sequence[Model]) -> None:
    """Refuse models that segment different things.

    Raises:
        UsageError: Channels, labels or regions differ, or their order does.
    """
    first = models[0]
    for other in models[1:]:
        for what in ("channels", "labels", "regions"):
            one, two = _meaning(first.task, what), _meaning(other.task, what)
            if list(one.items()) != list(two.items()):  # their order is that of the outputs
                raise UsageError(
                    f"its {what} are {two}, and those of {first.folder} are {one}",
                    where=other.folder,
                    remedy="Name models of one task; each of the others alone",
                )


def hash_of(hashes: Sequence[str]) -> str:
    """Return the hash of a model, or of several one that their order does not change."""
    if len(hashes) == 1:
        return hashes[0]
    return hashlib.sha256("".join(sorted(hashes)).encode()).hexdigest()


def probabilities(logits: Scores, task: Task) -> Scores:
    """Return how likely each output is: softmax over exclusive outputs, else sigmoid."""
    if not task.exclusive:
        with np.errstate(over="ignore"):  # of very unlikely ones
            return 1 / (1 + np.exp(-logits))
    weights = np.exp(logits - logits.max(axis=0))
    weights /= weights.sum(axis=0)
    return weights


def mean_logits(
    members: Iterable[Iterable[Piece]], shape: Shape, task: Task
) -> Float32[np.ndarray, "outputs a b c"]:
    """Return logits whose probabilities are the mean of those of all members.

    Args:
        members: For each model its logits in pieces along i, on one grid.
        shape: Of that grid.
        task: What the outputs mean.
    """
    total = np.zeros((task.out_channels, *shape), dtype=np.float32)
    count = 0
    for pieces in members:
        count, start = count + 1, 0
        for piece in pieces:
            total[:, start : start + piece.shape[1]] += probabilities(piece, task)
            start += piece.shape[1]
    total /= count
    return _logits(total, task)


def _logits(likely: Scores, task: Task) -> Scores:
    np.clip(likely, _SMALLEST, None, out=likely)
    if task.exclusive:
        return np.log(likely, out=likely)
    unlikely = np.clip(1 - likely, _SMALLEST, None)
    likely /= unlikely
    return np.log(likely, out=likely)


def _meaning(task: Task, what: str) -> dict[str, object]:
    if what == "channels":
        return dict(task.channels)
    if what == "labels":
        return {name: label.value for name, label in task.labels.items()}
    return {name: task.labels_of(name) for name in task.region_names}
