"""What segmenting a scan will need of memory, before it begins, and what is made smaller to fit.

What is held follows from the scan's size, the task and the tile; what the network takes for a tile
is measured once. Peaks are counted above what the process holds when the network is loaded.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import Tensor

from medseg import memory
from medseg.data import intensity, resampling
from medseg.data.preprocessing import is_on_demand
from medseg.errors import ImageError, UsageError
from medseg.formats import as_affine
from medseg.inference import blending
from medseg.inference.predict import Predictor
from medseg.inference.reduction import smaller
from medseg.segmentation import label_map_dtype
from medseg.shapes import Shape
from medseg.volume import Grid, Volume, resampled_grid, upright

FLOAT: Final = 4
DOUBLE: Final = 8
WORKING: Final = 32_000_000
"""Bytes beside all that: buffers of files and threads, and what is freed but kept for later."""
_UNITS: Final = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


@dataclass(frozen=True, eq=False)
class ScanSize:
    """What of a scan decides on memory.

    Attributes:
        grid: Its grid.
        channels: How many it has.
        itemsize: Bytes of a voxel of one channel.
    """

    grid: Grid
    channels: int
    itemsize: int

    @property
    def bytes(self) -> int:
        """What its voxels take."""
        return math.prod(self.grid.shape) * self.channels * self.itemsize


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


def size_in_file(path: Path) -> ScanSize | None:
    """Return the size of a NIfTI file by its header; None for other files, which are read first."""
    import nibabel

    if not path.name.lower().endswith((".nii", ".nii.gz")):
        return None
    try:
        image = nibabel.load(path)
        i, j, k, *more = image.shape
        stored = image.dataobj
        whole = stored.dtype.kind in "iu" and (stored.slope, stored.inter) == (1, 0)
        grid = Grid((i, j, k), as_affine(image.affine, where=path))
        return ScanSize(grid, math.prod(more), stored.dtype.itemsize if whole else FLOAT)
    except Exception:  # what is wrong with the file is told when it is read
        return None


def size_of(volume: Volume) -> ScanSize:
    """Return the size of a scan that was read."""
    return ScanSize(volume.grid, len(volume.voxels), volume.voxels.dtype.itemsize)


def network_bytes(predictor: Predictor, patch: Shape) -> int:
    """Measure by how much the network raises the peak of memory for one patch."""
    network, device = predictor.network, predictor.device
    channels = len(predictor.bundle.task.channels)
    if device.type == "cuda":
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        _apply(network, torch.zeros(1, channels, *patch, device=device))
        return int(torch.cuda.max_memory_allocated(device)) - before
    _apply(network, torch.zeros(1, channels, *patch))  # the first time, kernels are prepared too
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
    grid = upright(scan.grid)
    shape = resampled_grid(grid, plan.spacing_mm).shape
    held = 0 if is_on_demand(grid, scan.channels, plan) else math.prod(shape)
    image = held * scan.channels * FLOAT
    label_map = voxels * np.dtype(label_map_dtype(task)).itemsize
    band, held = _logits(shape, plan.patch, task.out_channels)
    tiles = held + plan.inference.batch * per_patch
    on_gpu = predictor.device.type == "cuda"
    if predictor.others:  # the mean of several models is held whole
        image += 2 * math.prod(shape) * task.out_channels * FLOAT
    slabs = min(4 * resampling.SLAB_BYTES, voxels * task.out_channels * FLOAT)
    entropy = voxels * FLOAT * keep_entropy
    phases = {
        "preparing": image + 4 * DOUBLE * min(voxels * scan.channels, intensity.PIECE_VOXELS),
        "scaling": voxels * (scan.itemsize + 1),
        "segmenting": image + label_map + entropy + (slabs if on_gpu else band + max(tiles, slabs)),
        "describing": label_map + voxels * (1 + FLOAT) + entropy,  # a mask, and its parts in int32
    }
    return Needs(
        host=scan.bytes + max(phases.values()) + WORKING,
        device=band + tiles if on_gpu else 0,
        patch=plan.patch,
        batch=plan.inference.batch,
        waiting=scan.bytes,
        leaving=4 * label_map + 3 * entropy,
    )


def _logits(shape: Shape, patch: Shape, outputs: int) -> tuple[int, int]:
    """Return what the sums of the overlapping patches take, and those that wait to be added."""
    padded = [max(length, size) for length, size in zip(shape, patch, strict=True)]
    axis = padded.index(max(padded))
    band = math.prod(padded) // padded[axis] * patch[axis]
    held = blending.HELD * outputs * math.prod(patch)
    return FLOAT * band * (outputs + 2), FLOAT * held


@dataclass(frozen=True)
class Budget:
    """How much memory there is.

    Attributes:
        limit: Bytes that a scan may take of the machine's memory, and of the GPU's.
        per_patch: What the network takes for a patch of `tile`; 0 if it was not measured.
        tile: Voxels of the patch that was measured.
        keep_entropy: Whether the entropy is written too.
    """

    limit: int
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
            if max(found.host, found.device) <= self.limit:
                return tried, found
            tried = smaller(tried)
        shape = "x".join(map(str, scan.grid.shape))
        raise ImageError(
            f"({shape} voxels) needs {shown(max(found.host, found.device))} of memory, and there is"
            f" {shown(self.limit)} for it",
            where=str(where),
            remedy="Close other programs, allow more with --max-memory, or cut the scan to what"
            " matters",
        )


def budget(
    predictor: Predictor, max_memory: int | None, *, measure: bool, keep_entropy: bool = False
) -> Budget:
    """Return how much memory there is for a scan.

    Args:
        predictor: The model, loaded.
        max_memory: What the whole program may take; else what is free.
        measure: Whether the network is tried on a patch, which takes as long as one.
        keep_entropy: Whether the entropy is written too.
    """
    plan, held = predictor.bundle.plan, memory.resident_bytes()
    limit = memory.available_bytes() if max_memory is None else max(0, max_memory - held)
    per_patch = network_bytes(predictor, plan.patch) if measure else 0
    return Budget(limit, per_patch, math.prod(plan.patch), keep_entropy)


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
