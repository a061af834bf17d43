"""Training patches per second beside MONAI's cache and nnU-Net's loader, and the memory they take.

20 volumes of 256x256x150 voxels, prepared beforehand, are cut into patches of 96x96x96 and changed
at random by two workers: rotated and scaled, mirrored, noised, blurred, brightened, gamma
corrected, with the ranges and probabilities of the default recipe. MONAI keeps the volumes in
memory and knows where the foreground is before it crops (`CacheDataset`, `FgBgToIndicesd`);
nnU-Net reads Blosc2 files as medseg does, and augments by batchgeneratorsv2, whose changes are set
to those of the recipe. Each side runs in processes of its own, the sides in turn; memory is the
share of physical memory of the process and its workers (PSS) above what the imports took.
"""

import argparse
import json
import os
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from harness import Row, in_fresh_process, publish
from scipy import ndimage

from medseg import task as tasks
from medseg.data import store
from medseg.data.patches import Patches
from medseg.data.transforms import augmentation
from medseg.recipe import Augmentation
from medseg.task import Task

VOLUMES = 20
SHAPE = (256, 256, 150)
PATCH = (96, 96, 96)
BATCH = 2
WORKERS = 2
WARM_UP = 8
BATCHES = 60
REPEATS = 3
FOREGROUND = 0.5
SETTINGS = Augmentation()
SIDES = ("medseg", "monai (CacheDataset)", "nnU-Net")


def task() -> Task:
    """Return a task of one channel and two labels that may be mirrored along every axis."""
    return tasks.read("hippocampus").model_copy(update={"mirror_axes": ("x", "y", "z")})


def make_volumes(folder: Path) -> None:
    """Write each volume in the form that each side reads."""
    from nnunetv2.training.dataloading.nnunet_dataset import nnUNetDatasetBlosc2

    for kind in ("medseg", "monai", "nnunet"):
        (folder / kind).mkdir()
    for number in range(VOLUMES):
        rng = np.random.default_rng(number)
        rough = rng.normal(size=SHAPE).astype(np.float32)
        smooth = ndimage.gaussian_filter(rough, 4)
        labels = np.digitize(smooth, np.quantile(smooth, [0.9, 0.96])).astype(np.uint8)
        image = (smooth / smooth.std() + 0.1 * rough)[None]
        name = f"case_{number:02d}"
        stored = store.put(folder / "medseg", name, image, labels)
        np.save(folder / "monai" / f"{name}_image.npy", image[0])
        np.save(folder / "monai" / f"{name}_labels.npy", labels)
        places = {
            label: np.insert(voxels, 0, 0, axis=1)
            for label, voxels in enumerate(stored.centres, start=1)
        }
        nnUNetDatasetBlosc2.save_case(
            image, labels[None].astype(np.int16), {"class_locations": places},
            str(folder / "nnunet" / name),
        )  # fmt: skip


def medseg_batches(folder: Path) -> Iterator[Any]:
    """Yield batches as a training takes them."""
    names = [f"case_{number:02d}" for number in range(VOLUMES)]
    patches = Patches(
        [store.StoredCase(name, folder / "medseg") for name in names],
        PATCH,
        augmentation(task(), SETTINGS),
        batch=BATCH,
        foreground=FOREGROUND,
        seed=0,
        first=0,
        last=10**6,
    )
    return iter(torch.utils.data.DataLoader(patches, batch_size=None, num_workers=WORKERS))


def monai_batches(folder: Path) -> Iterator[Any]:
    """Yield batches of a cache whose foreground is known, by MONAI's own loader."""
    from monai import data, transforms

    keys = ("image", "labels")
    fixed = [
        transforms.LoadImaged(keys, image_only=True),
        transforms.EnsureChannelFirstd(keys, channel_dim="no_channel"),
        transforms.FgBgToIndicesd("labels"),
    ]
    crop = transforms.RandCropByPosNegLabeld(
        keys, "labels", PATCH, pos=FOREGROUND, neg=1 - FOREGROUND, num_samples=1,
        fg_indices_key="labels_fg_indices", bg_indices_key="labels_bg_indices",
    )  # fmt: skip
    places = [
        {key: str(folder / "monai" / f"case_{number:02d}_{key}.npy") for key in keys}
        for number in range(VOLUMES)
    ]
    changes = transforms.Compose([*fixed, crop, *recipe_by_monai()])
    cached = data.CacheDataset(  # many times the same places, so that an epoch never ends
        places * 50, changes, cache_num=VOLUMES, progress=False, hash_as_key=True
    )
    loader = data.DataLoader(
        cached, batch_size=BATCH, shuffle=True, num_workers=WORKERS, persistent_workers=True
    )
    while True:
        yield from loader


def recipe_by_monai() -> list[Any]:
    """Return the default recipe's random changes as MONAI's own transforms."""
    from monai import transforms

    keys = ("image", "labels")
    often = SETTINGS.intensity_probability
    angle = np.deg2rad(SETTINGS.rotate_degrees)
    blur = (0.3, SETTINGS.blur_voxels)
    return [
        transforms.RandAffined(
            keys, prob=SETTINGS.geometry_probability, rotate_range=(angle,) * 3,
            scale_range=(SETTINGS.scale,) * 3, mode=("bilinear", "nearest"),
            padding_mode="border",
        ),
        *(
            transforms.RandFlipd(keys, prob=SETTINGS.mirror_probability, spatial_axis=axis)
            for axis in range(3)
        ),
        transforms.RandGaussianNoised("image", prob=often, std=SETTINGS.noise),
        transforms.RandGaussianSmoothd(
            "image", sigma_x=blur, sigma_y=blur, sigma_z=blur, prob=often
        ),
        transforms.RandScaleIntensityd("image", factors=SETTINGS.brightness, prob=often),
        transforms.RandAdjustContrastd(
            "image", prob=often, gamma=(1 / SETTINGS.gamma, SETTINGS.gamma), retain_stats=True
        ),
    ]  # fmt: skip


def nnunet_batches(folder: Path) -> Iterator[Any]:
    """Yield batches of nnU-Net's loader and its two augmenting processes."""
    from batchgenerators.dataloading.nondet_multi_threaded_augmenter import (
        NonDetMultiThreadedAugmenter,
    )
    from nnunetv2.training.dataloading.data_loader import nnUNetDataLoader
    from nnunetv2.training.dataloading.nnunet_dataset import nnUNetDatasetBlosc2
    from nnunetv2.utilities.label_handling.label_handling import LabelManager

    labels = {"background": 0, "anterior": 1, "posterior": 2}
    loader = nnUNetDataLoader(
        nnUNetDatasetBlosc2(str(folder / "nnunet")), BATCH, PATCH, PATCH,
        LabelManager(labels, None), oversample_foreground_percent=FOREGROUND,
        transforms=recipe_by_batchgenerators(), probabilistic_oversampling=True,
    )  # fmt: skip
    return iter(NonDetMultiThreadedAugmenter(loader, None, WORKERS, num_cached=6, seeds=None))


def recipe_by_batchgenerators() -> Any:
    """Return the default recipe's random changes as nnU-Net's transforms.

    They have no joint probability of rotation and scaling: the patch is resampled as often as in
    the recipe, and scaled whenever it is rotated.
    """
    from batchgeneratorsv2.transforms.intensity.brightness import MultiplicativeBrightnessTransform
    from batchgeneratorsv2.transforms.intensity.gamma import GammaTransform
    from batchgeneratorsv2.transforms.intensity.gaussian_noise import GaussianNoiseTransform
    from batchgeneratorsv2.transforms.noise.gaussian_blur import GaussianBlurTransform
    from batchgeneratorsv2.transforms.spatial.mirroring import MirrorTransform
    from batchgeneratorsv2.transforms.spatial.spatial import SpatialTransform
    from batchgeneratorsv2.transforms.utils.compose import ComposeTransforms
    from batchgeneratorsv2.transforms.utils.random import RandomTransform

    often = SETTINGS.intensity_probability
    angle = float(np.deg2rad(SETTINGS.rotate_degrees))
    sides = (1 - SETTINGS.brightness, 1 + SETTINGS.brightness)
    moved = SpatialTransform(
        PATCH, patch_center_dist_from_border=0, random_crop=False, p_elastic_deform=0,
        p_rotation=1, rotation=(-angle, angle), p_scaling=1,
        scaling=(1 - SETTINGS.scale, 1 + SETTINGS.scale), p_synchronize_scaling_across_axes=1,
        bg_style_seg_sampling=False,
    )  # fmt: skip
    changes = [
        GaussianNoiseTransform((0, SETTINGS.noise**2), 1, synchronize_channels=True),
        GaussianBlurTransform((0.3, SETTINGS.blur_voxels), p_per_channel=1),
        MultiplicativeBrightnessTransform(sides, synchronize_channels=False, p_per_channel=1),
        GammaTransform(
            (1 / SETTINGS.gamma, SETTINGS.gamma),
            p_invert_image=0,
            synchronize_channels=False,
            p_per_channel=1,
            p_retain_stats=1,
        ),
    ]
    return ComposeTransforms(
        [
            RandomTransform(moved, SETTINGS.geometry_probability),
            MirrorTransform((0, 1, 2)),
            *(RandomTransform(change, often) for change in changes),
        ]
    )


def shared_bytes() -> int:
    """Return this process's and its workers' share of physical memory."""
    import psutil

    whole = 0
    for process in [psutil.Process(), *psutil.Process().children(recursive=True)]:
        try:
            whole += process.memory_full_info().pss
        except psutil.Error:  # it ended meanwhile
            continue
    return whole


class Watch(threading.Thread):
    """Notes the largest share of memory until it is stopped."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.most = 0
        self.ended = threading.Event()

    def run(self) -> None:
        """Look every 200 ms; summing the maps of large processes takes time."""
        while not self.ended.wait(0.2):
            self.most = max(self.most, shared_bytes())


def measure(side: str, folder: Path) -> dict[str, float]:
    """Return patches per second, and by how much memory rose, of one side."""
    sources = {
        "medseg": medseg_batches, "monai (CacheDataset)": monai_batches, "nnU-Net": nnunet_batches,
    }  # fmt: skip
    torch.set_num_threads(1)
    import monai.transforms  # noqa: F401
    import nnunetv2.training.dataloading.data_loader  # noqa: F401

    before = shared_bytes()
    watch = Watch()
    watch.start()
    batches = sources[side](folder)
    for _ in range(WARM_UP):
        next(batches)
    start = time.perf_counter()
    for _ in range(BATCHES):
        next(batches)
    seconds = time.perf_counter() - start
    watch.ended.set()
    watch.join()
    return {"seconds": seconds / (BATCHES * BATCH), "bytes": watch.most - before}


def main() -> None:
    """Run the sides in turn, and keep the medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", choices=SIDES)
    parser.add_argument("--folder", type=Path)
    given = parser.parse_args()
    if given.side:
        print(json.dumps(measure(given.side, given.folder)), flush=True)
        os._exit(0)  # the endless loaders have no other end
    with tempfile.TemporaryDirectory() as place:
        make_volumes(Path(place))
        runs: dict[str, list[dict[str, float]]] = {side: [] for side in SIDES}
        for _ in range(REPEATS):
            for side in SIDES:
                told = in_fresh_process(__file__, "--side", side, "--folder", place)
                runs[side].append(json.loads(told))
    case = f"{VOLUMES} volumes of 256x256x150, patch 96x96x96, {WORKERS} workers"
    rows = []
    for quantity, key, unit, scale in (
        ("time per patch", "seconds", "ms", 1e3),
        ("rise of memory", "bytes", "MiB", 2.0**-20),
    ):
        found = {s: statistics.median(run[key] for run in runs[s]) * scale for s in SIDES}
        ours = found.pop("medseg")
        rows.append(Row(case, quantity, unit, ours, found))
    packages = ["torch", "numpy", "monai", "nnunetv2", "batchgeneratorsv2", "blosc2"]
    publish("patches", rows, packages=packages, threads=WORKERS)


if __name__ == "__main__":
    main()
