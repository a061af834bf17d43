"""What this machine offers, and whether a prediction works on it: `medseg doctor`."""

import os
import platform
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path
from typing import Any, Final

import numpy as np
import psutil
import torch

from medseg import networks
from medseg import task as tasks
from medseg.bundle import Bundle
from medseg.inference import predict
from medseg.recipe import Inference, NetworkChoice, Plan, Training
from medseg.volume import Grid, Volume

OPTIONAL: Final = {
    "SimpleITK": "reads NRRD and MetaImage",
    "itk": "reads DICOM",
    "nnunetv2": "brings the control network",
    "triton": "speeds up networks on GPUs",
    "ray": "spreads cohorts over machines",
}
LITTLE_MEMORY: Final = 4e9
LITTLE_DISK: Final = 2e9
_OPTIONS: Final[dict[str, Any]] = {"features": 12, "depths": [1, 1, 1, 1], "window": 4}
_SHAPE: Final = (20, 18, 16)


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        what: Its name.
        found: What it is like.
        remedy: What to do if it is not as it should be; None if it is.
        broken: Whether medseg does not work without it.
    """

    what: str
    found: str
    remedy: str | None = None
    broken: bool = False


def examine(folder: Path) -> Iterator[Finding]:
    """Look at this machine, the disk of `folder`, and a tiny prediction.

    Nothing raises: what does not work is a finding too.
    """
    yield Finding("medseg", f"{metadata.version('medseg')}, Python {platform.python_version()}")
    yield Finding("torch", f"{torch.__version__}, {torch.get_num_threads()} threads")
    yield _cuda()
    yield _memory()
    yield _disk(folder)
    yield Finding("processor", f"{os.cpu_count()} cores, {platform.machine()}")
    for package, purpose in OPTIONAL.items():
        yield _package(package, purpose)
    yield tiny_prediction(torch.device("cpu"))
    if torch.cuda.is_available():
        yield tiny_prediction(torch.device("cuda"))


def tiny_prediction(device: torch.device) -> Finding:
    """Segment a made scan with an untrained network, and tell how long it took."""
    what = f"prediction ({device.type})"
    try:
        began = time.monotonic()
        shape = _predicted(device)
        seconds = time.monotonic() - began
    except Exception as error:
        said = " ".join(str(error).split())
        return Finding(
            what,
            f"failed with {type(error).__name__}: {said:.200}",
            remedy="Install medseg anew in an environment of its own",
            broken=True,
        )
    return Finding(what, f"works: {'x'.join(map(str, shape))} voxels in {seconds:.1f} s")


def _predicted(device: torch.device) -> tuple[int, ...]:
    task = tasks.read("hippocampus")
    network = networks.build(
        "swin_unetr", in_channels=1, out_channels=task.out_channels, **_OPTIONS
    )
    plan = Plan(
        network=NetworkChoice(name="swin_unetr", options=_OPTIONS),
        patch=(16, 16, 16),
        spacing_mm=(1.0, 1.0, 1.0),
        windows={},
        batch=1,
        steps_per_epoch=1,
        precision="float32",
        training=Training(),
        inference=Inference(),
    )
    predictor = predict.Predictor(Bundle(Path(), task, plan), network.eval().to(device), device)
    voxels = np.random.default_rng(0).normal(100, 20, (1, *_SHAPE)).astype(np.float32)
    return predict.predict(predictor, Volume(voxels, Grid(_SHAPE, np.eye(4)))).label_map.shape


def _cuda() -> Finding:
    if not torch.cuda.is_available():
        built = "" if torch.version.cuda is None else f"; torch was built for {torch.version.cuda}"
        return Finding("CUDA", f"no GPU that torch can use{built}; the CPU will do")
    free, total = torch.cuda.mem_get_info()
    name = torch.cuda.get_device_name()
    return Finding(
        "CUDA",
        f"{torch.version.cuda}, {name}, {free / 1e9:.1f} of {total / 1e9:.1f} GB free",
    )


def _memory() -> Finding:
    memory = psutil.virtual_memory()
    found = f"{memory.available / 1e9:.1f} of {memory.total / 1e9:.1f} GB free"
    remedy = "Close other programs" if memory.available < LITTLE_MEMORY else None
    return Finding("memory", found, remedy)


def _disk(folder: Path) -> Finding:
    usage = shutil.disk_usage(folder)
    found = f"{usage.free / 1e9:.1f} of {usage.total / 1e9:.1f} GB free in {folder}"
    return Finding("disk", found, "Free some space" if usage.free < LITTLE_DISK else None)


def _package(name: str, purpose: str) -> Finding:
    if util.find_spec(name) is None:
        return Finding(name, f"not installed; it {purpose}", f"pip install {name}")
    return Finding(name, f"{metadata.version(name)}, {purpose}")
