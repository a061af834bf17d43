"""Several models that segment the same: the mean of their probabilities.

They are applied one after the other, so that no two are held. Of what they say one running sum is
kept, and the last one's share never: the mean goes on piece by piece as the last one is applied.
"""

import hashlib
import math
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, Final

import numpy as np
from jaxtyping import Float, Float32

from medseg import memory
from medseg.errors import OutputError, UsageError
from medseg.model import Model
from medseg.shapes import Scores, Shape
from medseg.task import Task

Piece = Float[np.ndarray, "outputs _ j k"]
Member = Callable[[], Iterable[Piece]]
"""What applies one model and gives its logits in pieces along i, each until the next is asked for;
whatever it holds for that it takes when it is called, and leaves with the last piece."""

IN_MEMORY: Final = 1 << 28
"""Most bytes of a running sum that are held; a larger one lies in the system's temporary folder."""

_FLOAT: Final = 4

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


def held_bytes(shape: Shape, outputs: int) -> int:
    """Return what the running sum of a mean over a grid holds of memory."""
    return min(IN_MEMORY, _FLOAT * outputs * math.prod(shape))


def mean_logits(
    members: Sequence[Member], task: Task
) -> Iterator[Float32[np.ndarray, "outputs _ j k"]]:
    """Yield logits whose probabilities are the mean of those of all members; see `mean`."""
    for likely in mean([partial(_likely, member, task) for member in members]):
        yield _logits(likely, task)


def mean(members: Sequence[Member]) -> Iterator[Float32[np.ndarray, "outputs _ j k"]]:
    """Yield the mean of what all members give, in the pieces of the last one.

    Held is `held_bytes`, beside a piece or two.

    Args:
        members: At least one; each gives as many planes of the same shape.

    Raises:
        OutputError: There is no room for the sum in the temporary folder.
    """
    *others, last = members
    with tempfile.SpooledTemporaryFile(IN_MEMORY) as sums:
        for number, member in enumerate(others):
            sums.seek(0)
            _add(sums, member(), is_first=number == 0)
        sums.seek(0)
        for piece in last():
            yield (_next(sums, piece) + piece if others else piece) / np.float32(len(members))


def _likely(member: Member, task: Task) -> Iterator[Piece]:
    return (probabilities(piece, task) for piece in member())


def _add(sums: IO[bytes], pieces: Iterable[Piece], *, is_first: bool) -> None:
    """Add pieces to what lies in `sums` from here on: plane after plane, whatever their length."""
    for piece in pieces:
        total = piece if is_first else piece + _next(sums, piece)
        with _room():
            if not is_first:
                sums.seek(-_FLOAT * piece.size, 1)
            planes = np.ascontiguousarray(np.moveaxis(total, 1, 0), dtype=np.float32)
            sums.write(planes.data.cast("B"))


def _next(sums: IO[bytes], piece: Piece) -> Float32[np.ndarray, "outputs _ j k"]:
    """Read the sums of as many planes as a piece has."""
    outputs, planes, j, k = piece.shape
    with _room():
        stored = np.frombuffer(sums.read(_FLOAT * piece.size), np.float32)
    return np.moveaxis(stored.reshape(planes, outputs, j, k), 0, 1)


@contextmanager
def _room() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if memory.ran_out(error):
            raise
        raise OutputError(
            f"cannot hold what several models say together: {error.strerror}",
            where=Path(tempfile.gettempdir()),
            remedy="Free some space there, or set TMPDIR to a folder that has more",
        ) from error


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
