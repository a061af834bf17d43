"""Training patches: the patches of step `n` are a function of the seed and `n` alone.

So a training that stopped continues with the very patches it would have seen next, whatever the
number of worker processes.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float32, Int64
from torch import Tensor
from torch.utils.data import IterableDataset, get_worker_info

from medseg.data.store import StoredCase
from medseg.data.transforms import IMAGE, LABELS
from medseg.errors import DataError
from medseg.shapes import Shape


class Batch(NamedTuple):
    """Crops of cases: normalised channels and label indices."""

    images: Float32[Tensor, "batch channels i j k"]
    labels: Int64[Tensor, "batch i j k"]


class Failed(NamedTuple):
    """A batch that could not be made, sent in its place.

    Not raised: of an error in a worker process the trainer would get a page of text.
    """

    step: int
    case: str
    cause: str

    def error(self) -> DataError:
        """Say which case it was, in which step, and what was wrong."""
        return DataError(
            f"a patch for step {self.step} could not be made: {self.cause}",
            where=self.case,
            remedy="Go on with --resume, which prepares a damaged case anew; if it fails again,"
            " look at that case with 'medseg check'",
        )


class Patches(IterableDataset[Batch | Failed]):
    """The batches of steps `first` to `last - 1` of the endless sequence that `seed` determines.

    Cases come in random order, each once before any comes again. A share `foreground` of the
    patches is centred on a voxel of a random label of the case; the others lie anywhere.

    Args:
        cases: Prepared cases.
        patch: Voxels along each axis; a smaller case is padded with zeros.
        augment: MONAI's `Compose`, see `medseg.data.transforms`.
        batch: Patches in a step.
        foreground: Share of patches centred on a label.
        seed: Of everything random here.
        first: Number of the first step.
        last: Number of the step to stop before.
        share: Which of how many equal shares of every batch; (0, 1) is the whole.
    """

    def __init__(
        self,
        cases: list[StoredCase],
        patch: Shape,
        augment: Any,
        *,
        batch: int,
        foreground: float,
        seed: int,
        first: int,
        last: int,
        share: tuple[int, int] = (0, 1),
    ) -> None:
        self.cases = cases
        self.patch = patch
        self.augment = augment
        self.batch = batch
        self.foreground = foreground
        self.seed = seed
        self.first = first
        self.last = last
        self.share = share

    def __iter__(self) -> Iterator[Batch | Failed]:
        worker = get_worker_info()
        offset, stride = (worker.id, worker.num_workers) if worker else (0, 1)
        for step in range(self.first + offset, self.last, stride):
            yield self._batch(step)

    def _batch(self, step: int) -> Batch | Failed:
        mine, shares = self.share
        numbers = range(step * self.batch + mine, (step + 1) * self.batch, shares)
        number = numbers[0]
        try:
            patches = []
            for number in numbers:
                patches.append(self.patch_number(number))
        except Exception as error:
            case = self._case(number)
            case.forget()
            cause = " ".join([type(error).__name__, *str(error).split()])
            return Failed(step, case.name, f"{cause:.300}")
        images, labels = zip(*patches, strict=True)
        return Batch(torch.stack(images), torch.stack(labels))

    def patch_number(
        self, number: int
    ) -> tuple[Float32[Tensor, "channels i j k"], Int64[Tensor, "i j k"]]:
        """Make patch `number` of the sequence."""
        case = self._case(number)
        random = np.random.default_rng([self.seed, 1, number])
        image, labels = case.patch(self._start(case, random), self.patch)
        self.augment.set_random_state(seed=int(random.integers(2**31)))
        changed = self.augment(
            {IMAGE: torch.from_numpy(image), LABELS: torch.from_numpy(labels[None]).float()}
        )
        patch, chosen = (torch.as_tensor(changed[key]) for key in (IMAGE, LABELS))
        return patch.as_subclass(Tensor), chosen[0].as_subclass(Tensor).long()

    def _case(self, number: int) -> StoredCase:
        """Return the case of a patch: each comes once in a lap, in an order of the lap's own."""
        lap, place = divmod(number, len(self.cases))
        order = np.random.default_rng([self.seed, 0, lap]).permutation(len(self.cases))
        return self.cases[order[place]]

    def _start(self, case: StoredCase, random: np.random.Generator) -> Shape:
        extent = np.array(case.shape)
        patch = np.array(self.patch)
        centres = case.centres
        if centres and random.random() < self.foreground:
            voxels = centres[random.integers(len(centres))]
            wanted = voxels[random.integers(len(voxels))] - patch // 2
            low, high = np.minimum(0, (extent - patch) // 2), np.maximum(0, extent - patch)
            start = np.clip(wanted, low, high)
        else:
            free = np.maximum(extent - patch, 0)
            start = np.where(extent < patch, (extent - patch) // 2, random.integers(0, free + 1))
        i, j, k = (int(first) for first in start)
        return i, j, k
