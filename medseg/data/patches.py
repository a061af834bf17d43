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
from medseg.shapes import Shape


class Batch(NamedTuple):
    """Crops of cases: normalised channels and label indices."""

    images: Float32[Tensor, "batch channels i j k"]
    labels: Int64[Tensor, "batch i j k"]


class Patches(IterableDataset[Batch]):
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
    ) -> None:
        self.cases = cases
        self.patch = patch
        self.augment = augment
        self.batch = batch
        self.foreground = foreground
        self.seed = seed
        self.first = first
        self.last = last

    def __iter__(self) -> Iterator[Batch]:
        worker = get_worker_info()
        offset, stride = (worker.id, worker.num_workers) if worker else (0, 1)
        for step in range(self.first + offset, self.last, stride):
            numbers = range(step * self.batch, (step + 1) * self.batch)
            images, labels = zip(*(self.patch_number(number) for number in numbers), strict=True)
            yield Batch(torch.stack(images), torch.stack(labels))

    def patch_number(
        self, number: int
    ) -> tuple[Float32[Tensor, "channels i j k"], Int64[Tensor, "i j k"]]:
        """Make patch `number` of the sequence."""
        lap, place = divmod(number, len(self.cases))
        order = np.random.default_rng([self.seed, 0, lap]).permutation(len(self.cases))
        case = self.cases[order[place]]
        random = np.random.default_rng([self.seed, 1, number])
        labels = case.labels
        start = self._start(case, labels.shape, random)
        self.augment.set_random_state(seed=int(random.integers(2**31)))
        changed = self.augment(
            {
                IMAGE: torch.from_numpy(crop(case.image, start, self.patch)),
                LABELS: torch.from_numpy(crop(labels[None], start, self.patch)).float(),
            }
        )
        image, chosen = (torch.as_tensor(changed[key]) for key in (IMAGE, LABELS))
        return image.as_subclass(Tensor), chosen[0].as_subclass(Tensor).long()

    def _start(
        self, case: StoredCase, shape: tuple[int, ...], random: np.random.Generator
    ) -> np.ndarray:
        extent = np.array(shape)
        patch = np.array(self.patch)
        centres = case.centres
        if centres and random.random() < self.foreground:
            voxels = centres[random.integers(len(centres))]
            wanted = voxels[random.integers(len(voxels))] - patch // 2
            return np.clip(
                wanted, np.minimum(0, (extent - patch) // 2), np.maximum(0, extent - patch)
            )
        free = np.maximum(extent - patch, 0)
        return np.where(extent < patch, (extent - patch) // 2, random.integers(0, free + 1))


def crop(voxels: np.ndarray, start: np.ndarray, patch: Shape) -> np.ndarray:
    """Cut `patch` out of `voxels` (channels i j k), with zeros where it lies outside."""
    result = np.zeros((len(voxels), *patch), dtype=voxels.dtype)
    source, target = [slice(None)], [slice(None)]
    for begin, length, extent in zip(start, patch, voxels.shape[1:], strict=True):
        low = max(int(begin), 0)
        high = max(low, min(int(begin) + length, extent))
        source.append(slice(low, high))
        target.append(slice(low - int(begin), high - int(begin)))
    result[tuple(target)] = voxels[tuple(source)]
    return result
