"""What segmenting a scan will need of memory, before it begins, and what is made smaller to fit.

What is held follows from the scan's size, the task and the tile; what the network takes for a tile
is measured once. Peaks are counted above what the process holds when the network is loaded.
"""

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor, nn

from medseg import memory
from medseg.data import resampling
from medseg.errors import ImageError, UsageError
from medseg.inference import blending, ensemble
from medseg.inference.loading import InTurn
from medseg.inference.predict import Predictor, tiling_of
from medseg.inference.reduction import DeviceTooSmallError, smaller
from medseg.inference.scan_size import ScanSize
from medseg.inference.settling import MOST_PATCHES, Settling
from medseg.model import Model, prepare_alike
from medseg.segmentation import label_map_dtype
from medseg.shapes import Shape

FLOAT: Final = 4
INDEX: Final = 8
"""Bytes of an index of torch."""
LABEL: Final = 2
"""Bytes of a label that was decided to judge a precision by."""
WORKING: Final = 16_000_000
"""Bytes beside all that: buffers of files and threads, and what is freed but kept for later."""
SLABS: Final = 3
"""Pieces of `resampling.SLAB_BYTES` that are held while one is decided; one more to resample it."""
_MEASURED: Final[WeakKeyDictionary[nn.Module, dict[tuple[object, ...], int]]] = WeakKeyDictionary()
"""What networks were found to take for a patch, so that one is measured once in a process."""

_UNITS: Final = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


@dataclass(frozen=True)
class Needs:
    """The peaks of one scan, in bytes.

    Attributes:
        host: On the machine, while nothing else is done.
        device: On the GPU; 0 without one.
        patch: With this tile.
        batch: And so many at once.
        waiting: What the scan takes while it only waits to be segmented.
        leaving: What its result takes while it is written.
    """

    host: int
    device: int
    patch: Shape
    batch: int
    waiting: int
    leaving: int


def network_bytes(predictor: Predictor, patch: Shape, *, exact: bool = True) -> int:
    """Measure by how much the network raises the peak of memory for one patch.

    Args:
        predictor: The model.
        patch: Voxels of the patch.
        exact: Whether a processor applies it twice: the first time, kernels are prepared too, and
            count. If not, and the system cannot tell the peak of a part of a program, nothing is
            measured on a processor, and 0 returned.
    """
    network, device = predictor.network, predictor.device
    channels = len(predictor.bundle.task.channels)
    if device.type == "cuda":
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        _apply(network, torch.zeros(1, channels, *patch, device=device))
        return int(torch.cuda.max_memory_allocated(device)) - before
    if exact:
        _apply(network, torch.zeros(1, channels, *patch))
    memory.give_back()
    if not memory.forget_peak() and not exact:
        return 0
    before = memory.resident_bytes()
    _apply(network, torch.zeros(1, channels, *patch))
    return max(0, memory.peak_bytes() - before)


def _apply(network: Callable[[Tensor], Tensor], patches: Tensor) -> None:
    with torch.inference_mode():
        network(patches)


def needs(
    scan: ScanSize, predictor: Predictor, per_patch: int, *, keep_entropy: bool = False
) -> Needs:
    """Return the peaks of segmenting a scan.

    Args:
        scan: Its size.
        predictor: The model, with its tile and batch.
        per_patch: What the network takes for one patch; see `network_bytes`.
        keep_entropy: Whether the entropy is written too.
    """
    task, plan = predictor.bundle.task, predictor.bundle.plan
    voxels = math.prod(scan.grid.shape)
    image, preparing = predictor.bundle.preparing_bytes(scan.grid, scan.channels)
    label_map = voxels * np.dtype(label_map_dtype(task)).itemsize
    entropy = voxels * FLOAT * keep_entropy
    per_voxel = per_patch / math.prod(plan.patch)
    on_host, on_device = zip(
        *(_networks_share(scan, predictor, model, per_voxel) for model in predictor.models),
        strict=True,
    )
    held = _of_several(scan, predictor) + label_map + entropy
    phases = {
        "reading": max(scan.reading - scan.bytes, voxels),  # voxels are looked at one by one
        "preparing": image + preparing,
        "scaling": voxels * (scan.itemsize + 1),
        "cropping": 0 if task.outside is None else 2 * voxels,
        "segmenting": image + held + max(on_host),
        "describing": label_map + voxels * (1 + FLOAT) + entropy,  # a mask, and its parts in int32
    }
    return Needs(
        host=scan.bytes + max(phases.values()) + WORKING,
        device=max(on_device),
        patch=plan.patch,
        batch=plan.inference.batch,
        waiting=max(scan.bytes, scan.reading),
        leaving=4 * label_map + 3 * entropy,
    )


def _networks_share(
    scan: ScanSize, predictor: Predictor, model: Model, per_voxel: float
) -> tuple[int, int]:
    """Return what is held on host and device while the network of one of the models is applied.

    Args:
        scan: Its size.
        predictor: All models.
        model: One of them.
        per_voxel: What a network takes for a voxel of a patch.
    """
    rings = model.task.out_channels + (0 if blending.is_compiled(predictor.device) else 2)
    sums = _band(model.image_shape(scan.grid), model.plan.patch, rings)
    tiles, slabs = _tiles(predictor, model, per_voxel), _slabs(scan, predictor, model)
    if predictor.device.type == "cuda":
        return sums + slabs, sums + tiles  # what is finished is handed over
    return sums + max(tiles, slabs), 0


def _band(shape: Shape, patch: Shape, rings: int) -> int:
    """Return what the sums of the overlapping patches take, and weights where they are held."""
    padded = [max(length, size) for length, size in zip(shape, patch, strict=True)]
    axis = padded.index(max(padded))
    return FLOAT * rings * math.prod(padded) // padded[axis] * patch[axis]


def _slabs(scan: ScanSize, predictor: Predictor, model: Model) -> int:
    """Return what it takes to bring finished planes, at most a patch's, back to the scan's grid."""
    shape = model.image_shape(scan.grid)
    axis = shape.index(max(shape))
    part = min(1.0, model.plan.patch[axis] / shape[axis])
    finished = math.ceil(math.prod(scan.grid.shape) * model.task.out_channels * FLOAT * part)
    copies = SLABS + (sorted(shape) != sorted(scan.grid.shape))
    if _networks(predictor) > 1:  # what was added up so far, and what is added
        copies += 2
    return copies * min(resampling.SLAB_BYTES, finished)


def _tiles(predictor: Predictor, model: Model, per_voxel: float) -> int:
    """Return what patches take: those that are computed, and those that wait to be added."""
    voxels, batch = math.prod(model.plan.patch), model.plan.inference.batch
    outputs, channels = model.task.out_channels, len(model.task.channels)
    held = max(batch, blending.HELD - 1)  # while more are computed; one keeps its whole batch
    waiting = held * outputs * FLOAT * voxels
    per_patch = math.ceil(per_voxel * voxels)
    tiles = waiting + batch * per_patch
    if tiling_of(model, predictor.options).mirror_axes:  # the sum, one turned back, one given
        tiles += (2 * outputs + channels) * FLOAT * voxels * batch
    several = predictor.network
    network = several.network if isinstance(several, InTurn) else several
    if isinstance(network, Settling) and not network.is_settled:  # patches to judge by, and a copy
        decided = LABEL if model.task.exclusive else outputs
        tiles += (MOST_PATCHES * (channels * FLOAT + decided) + INDEX) * voxels
        tiles += sum(weight.numel() * weight.element_size() for weight in network.parameters()) // 2
    return tiles


def _of_several(scan: ScanSize, predictor: Predictor) -> int:
    """Return what the mean of several networks takes beside what the first would take alone."""
    first, models = predictor.bundle, predictor.models
    shape = first.image_shape(scan.grid)
    total = ensemble.held_bytes(shape, first.task.out_channels)
    sums = (len(models) > 1) + any(len(model.members) > 1 for model in models)
    others = [model for model in predictor.others if not prepare_alike(model, first)]
    images = [sum(model.preparing_bytes(scan.grid, scan.channels)) for model in others]
    return sums * total + max(images, default=0)


def _networks(predictor: Predictor) -> int:
    return sum(len(model.members) for model in predictor.models)


@dataclass(frozen=True)
class Budget:
    """How much memory there is.

    Attributes:
        limit: Bytes that a scan may take of the machine's memory.
        on_device: And of the GPU's.
        per_patch: What the network takes for a patch of `tile`.
        tile: Voxels of the patch that was measured.
        keep_entropy: Whether the entropy is written too.
    """

    limit: int
    on_device: int
    per_patch: int
    tile: int
    keep_entropy: bool = False

    def needs(self, scan: ScanSize, predictor: Predictor) -> Needs:
        """Return the peaks of segmenting a scan with the predictor's tile and batch."""
        part = math.prod(predictor.bundle.plan.patch) / self.tile
        per_patch = math.ceil(self.per_patch * part)
        return needs(scan, predictor, per_patch, keep_entropy=self.keep_entropy)

    def fitting(
        self, scan: ScanSize, predictor: Predictor, *, where: object
    ) -> tuple[Predictor, Needs]:
        """Make the batch smaller, then the tile, until a scan fits.

        Raises:
            ImageError: It does not fit the machine's memory even so.
            DeviceTooSmallError: It does not fit the GPU's.
        """
        tried: Predictor | None = predictor
        while tried is not None:
            found = self.needs(scan, tried)
            if found.host <= self.limit and found.device <= self.on_device:
                return tried, found
            tried = smaller(tried)
        if found.host <= self.limit:
            there = shown(self.on_device)
            raise DeviceTooSmallError(
                f"{shown(found.device)} of the GPU's memory, where {there} is"
            )
        raise self._too_much(scan, found, where)

    def fitting_anywhere(self, scan: ScanSize, predictor: Predictor, *, where: object) -> Needs:
        """Return the peaks as they will be: on the processor where the GPU has too little.

        Raises:
            ImageError: It fits neither.
        """
        try:
            _, found = self.fitting(scan, predictor, where=where)
        except DeviceTooSmallError:
            on_processor = replace(predictor, device=torch.device("cpu"))
            _, found = self.fitting(scan, on_processor, where=where)
        return found

    def _too_much(self, scan: ScanSize, found: Needs, where: object) -> ImageError:
        shape = "x".join(map(str, scan.grid.shape))
        needed, there = shown(found.host), shown(self.limit)
        return ImageError(
            f"({shape} voxels) needs {needed} of memory, and there is {there} for it",
            where=str(where),
            remedy="Close other programs, allow more with --max-memory, or cut the scan to what"
            " matters",
        )


def budget(
    predictor: Predictor, max_memory: int | None, *, exact: bool = True, keep_entropy: bool = False
) -> Budget:
    """Return how much memory there is for a scan.

    The network is tried on a patch for that, which takes as long as one, or as two if it is to be
    `exact`.

    Args:
        predictor: The model, loaded.
        max_memory: What the whole program may take of the machine's memory; else what is free. Of
            a GPU's memory it may take what is free there.
        exact: See `network_bytes`.
        keep_entropy: Whether the entropy is written too.
    """
    plan, held = predictor.bundle.plan, memory.resident_bytes()
    limit = memory.available_bytes() if max_memory is None else max(0, max_memory - held)
    on_device = _free_on(predictor.device)
    known = _MEASURED.setdefault(predictor.network, {})
    measured = (predictor.device, *(model.plan.patch for model in predictor.models), exact)
    if measured not in known:
        known[measured] = _most_bytes(predictor, exact=exact)
    per_patch = known[measured]
    return Budget(limit, on_device, per_patch, math.prod(plan.patch), keep_entropy)


def _most_bytes(predictor: Predictor, *, exact: bool) -> int:
    """Measure what the dearest of the models' networks would take for a patch of the first's."""
    voxels = math.prod(predictor.bundle.plan.patch)
    firsts = itertools.accumulate((len(model.members) for model in predictor.models), initial=0)

    def taken(number: int, model: Model) -> int:
        """Measure one, which nothing holds when the next is loaded."""
        alone = replace(predictor, bundle=model, network=predictor.network_of(number), others=())
        found = network_bytes(alone, model.plan.patch, exact=exact)
        return math.ceil(found * voxels / math.prod(model.plan.patch))

    return max(itertools.starmap(taken, zip(firsts, predictor.models, strict=False)))


def _free_on(device: torch.device) -> int:
    """Return what a GPU has free, with what torch keeps of it for later; 0 without one."""
    if device.type != "cuda":
        return 0
    free, _ = torch.cuda.mem_get_info(device)
    kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return int(free + kept)


def together(several: list[Needs]) -> int:
    """Return the peak on the machine while one scan waits, one is segmented, one is written."""
    if not several:
        return 0
    waiting = max(each.waiting for each in several) if len(several) > 1 else 0
    leaving = max(each.leaving for each in several) if len(several) > 1 else 0
    return max(each.host for each in several) + waiting + leaving


def parsed_bytes(text: str) -> int:
    """Return the bytes that a text such as `8G`, `500M` or `1.5GB` names.

    Raises:
        UsageError: It names none.
    """
    plain = text.strip().upper().removesuffix("B").removesuffix("I")
    number, unit = (plain[:-1], plain[-1:]) if plain[-1:].isalpha() else (plain, "")
    try:
        size = float(number) * _UNITS[unit]
    except (ValueError, KeyError) as error:
        raise UsageError(
            f"{text!r} is no amount of memory", remedy="Write it as 8G or 500M"
        ) from error
    if not 0 < size < math.inf:
        raise UsageError(f"{text!r} is no amount of memory", remedy="Write it as 8G or 500M")
    return int(size)


def shown(size: int) -> str:
    """Return a number of bytes for people."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"
