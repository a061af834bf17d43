"""What segmenting a scan will need of memory, before it begins, and what is made smaller to fit.

What is held follows from the scan's size, the task and the tile; what the network takes for a tile
is measured once. Peaks are counted above what the process holds when the network is loaded.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor, nn

from medseg import memory
from medseg.data import resampling
from medseg.errors import ImageError, UsageError
from medseg.inference import blending
from medseg.inference.predict import Predictor, tiling_of
from medseg.inference.reduction import smaller
from medseg.inference.scan_size import ScanSize
from medseg.inference.settling import Settling
from medseg.segmentation import label_map_dtype
from medseg.shapes import Shape

FLOAT: Final = 4
INDEX: Final = 8
"""Bytes of an index of torch."""
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
            count.
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
    memory.forget_peak()
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
    shape = predictor.bundle.image_shape(scan.grid)
    image, preparing = predictor.bundle.preparing_bytes(scan.grid, scan.channels)
    label_map = voxels * np.dtype(label_map_dtype(task)).itemsize
    sums, shares = _band(shape, plan.patch, task.out_channels)
    tiles = _tiles(predictor, per_patch)
    slabs = _slabs(scan, predictor, shape)
    entropy = voxels * FLOAT * keep_entropy
    on_gpu = predictor.device.type == "cuda"
    several = _of_several(scan, predictor, shape)
    held = several + label_map + entropy
    beside = slabs + sums if on_gpu else sums + shares + max(tiles, slabs)  # sums are handed over
    phases = {
        "reading": max(scan.reading - scan.bytes, voxels),  # voxels are looked at one by one
        "preparing": image + preparing,
        "scaling": voxels * (scan.itemsize + 1),
        "cropping": 0 if task.outside is None else 2 * voxels,
        "segmenting": image + held + beside,
        "describing": label_map + voxels * (1 + FLOAT) + entropy,  # a mask, and its parts in int32
    }
    return Needs(
        host=scan.bytes + max(phases.values()) + WORKING,
        device=sums + shares + tiles if on_gpu else 0,
        patch=plan.patch,
        batch=plan.inference.batch,
        waiting=max(scan.bytes, scan.reading),
        leaving=4 * label_map + 3 * entropy,
    )


def _band(shape: Shape, patch: Shape, outputs: int) -> tuple[int, int]:
    """Return what the sums of the overlapping patches take, and the shares of their voxels."""
    padded = [max(length, size) for length, size in zip(shape, patch, strict=True)]
    axis = padded.index(max(padded))
    band = math.prod(padded) // padded[axis] * patch[axis]
    return FLOAT * band * outputs, FLOAT * band


def _slabs(scan: ScanSize, predictor: Predictor, shape: Shape) -> int:
    """Return what it takes to bring finished planes, at most a patch's, back to the scan's grid."""
    axis = shape.index(max(shape))
    part = 1.0 if predictor.others else min(1.0, predictor.bundle.plan.patch[axis] / shape[axis])
    finished = math.prod(scan.grid.shape) * predictor.bundle.task.out_channels * FLOAT * part
    is_resampled = predictor.others or sorted(shape) != sorted(scan.grid.shape)
    copies = SLABS + 1 if is_resampled else SLABS
    return copies * min(resampling.SLAB_BYTES, math.ceil(finished))


def _tiles(predictor: Predictor, per_patch: int) -> int:
    """Return what patches take: those that are computed, and those that wait to be added."""
    bundle, network = predictor.bundle, predictor.network
    voxels, batch = math.prod(bundle.plan.patch), bundle.plan.inference.batch
    outputs, channels = bundle.task.out_channels, len(bundle.task.channels)
    waiting = max(1, blending.HELD - batch) * outputs * FLOAT * voxels  # while more are computed
    tiles = waiting + batch * per_patch
    if tiling_of(bundle, predictor.options).mirror_axes:  # the sum, one turned back, one given
        tiles += (2 * outputs + channels) * FLOAT * voxels * batch
    if isinstance(network, Settling) and not network.is_settled:  # two copies, and two decisions
        weights = sum(weight.numel() * weight.element_size() for weight in network.parameters())
        decisions = (2 * INDEX if bundle.task.exclusive else 2 * outputs) * voxels
        tiles = max(tiles, 2 * outputs * FLOAT * voxels + decisions + per_patch) + weights // 2
    return tiles


def _of_several(scan: ScanSize, predictor: Predictor, shape: Shape) -> int:
    """Return what the mean of several models takes beside what the first would take alone."""
    if not predictor.others:
        return 0
    task = predictor.bundle.task
    copies = 1 if task.exclusive else 3  # their logits are made of p, 1 - p and both
    images = [model.preparing_bytes(scan.grid, scan.channels) for model in predictor.others]
    total = copies * math.prod(shape) * task.out_channels * FLOAT
    return total + max(image + preparing for image, preparing in images)


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
            ImageError: It does not fit even so.
        """
        tried: Predictor | None = predictor
        while tried is not None:
            found = self.needs(scan, tried)
            if found.host <= self.limit and found.device <= self.on_device:
                return tried, found
            tried = smaller(tried)
        raise self._too_much(scan, found, where)

    def _too_much(self, scan: ScanSize, found: Needs, where: object) -> ImageError:
        shape = "x".join(map(str, scan.grid.shape))
        needed, there, what = found.host, self.limit, "memory"
        remedy = (
            "Close other programs, allow more with --max-memory, or cut the scan to what matters"
        )
        if found.host <= self.limit:
            needed, there, what = found.device, self.on_device, "the GPU's memory"
            remedy = "Close other programs that use the GPU, or take the processor: --device cpu"
        return ImageError(
            f"({shape} voxels) needs {shown(needed)} of {what}, and there is {shown(there)} for it",
            where=str(where),
            remedy=remedy,
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
    measured = (predictor.device, plan.patch, exact)
    if measured not in known:
        known[measured] = network_bytes(predictor, plan.patch, exact=exact)
    per_patch = known[measured]
    return Budget(limit, on_device, per_patch, math.prod(plan.patch), keep_entropy)


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
