"""From file to file: two CT volumes and a model folder of nnU-Net, medseg beside nnU-Net itself.

    python benchmarks/inference_files.py [--work FOLDER] [--repeats N] [--features N]

Both commands run as a user runs them, each in processes of its own, on two processors, without
mirroring, one after the other in every turn. Memory is the private memory of all processes of a
command together, less that of an interpreter that has imported torch and nothing else. FOLDER keeps
the scans and the model, whose network is fitted first, which takes minutes; `--features 8` makes a
small one, to try the script.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import nibabel
import numpy as np
import psutil
from harness import Row, publish

ROOT = Path(__file__).parents[1]
SHAPE, SPACING_MM = (256, 256, 120), (1.4, 1.4, 2.5)
LABELS = 9
PLANNED_MM = [2.5, 1.9, 1.9]
PATCH = [64, 128, 128]
STEPS = 60
LEAST_LABELS, LEAST_SHARE = 3, 1e-3  # so many labels fill so much of a scan each
DATA_SET = "Dataset997_Organs"
SCRIPTS = Path(sys.executable).parent


@dataclass(frozen=True)
class Usage:
    """What a command took."""

    seconds: float
    peak_mb: float


def main() -> None:
    """Measure, print and keep the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, help="where scans and model are kept")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--features", type=int, default=32, help="of the finest scale")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        work = given.work or Path(temporary)
        found = rows(work, repeats=given.repeats, features=given.features)
    packages = ["torch", "nnunetv2", "dynamic_network_architectures"]
    publish("inference_files", found, packages=packages, threads=2)


def rows(work: Path, *, repeats: int, features: int = 32) -> list[Row]:
    """Run both programs in turn, and return time, memory and agreement."""
    scans, model = work / "scans", work / "results" / DATA_SET
    if not scans.is_dir():
        write_scans(scans)
    if not model.is_dir():
        write_model(work / "results", features)
    commands = commands_of(work)
    used: dict[str, list[Usage]] = {name: [] for name in commands}
    for _ in range(repeats):
        for name, command in commands.items():
            shutil.rmtree(work / name, ignore_errors=True)
            used[name].append(run(command, work))
    baseline = run([sys.executable, "-c", "import torch, time; time.sleep(3)"], work).peak_mb
    seconds = {name: statistics.median(one.seconds for one in used[name]) for name in used}
    memory = {name: max(one.peak_mb for one in used[name]) - baseline for name in used}
    table = []
    case = f"2 CT volumes, {'x'.join(map(str, SHAPE))}, {LABELS} labels"
    for name in ("float32", "bfloat16"):
        peers = {"nnU-Net": seconds["nnunet"]}
        table.append(Row(f"{case}, {name}", "time", "s", seconds[name], peers))
        peers = {"nnU-Net": memory["nnunet"]}
        table.append(Row(f"{case}, {name}", "peak memory", "MB", memory[name], peers))
        print(f"{name}: {100 * agreement(work, name):.3f} % of voxels as nnU-Net has them")
    return table


def commands_of(work: Path) -> dict[str, list[str]]:
    """Return the commands by the folder that they write to."""
    (folder,) = (work / "results" / DATA_SET).glob("nnUNetTrainer__*")
    scans = work / "scans"
    medseg = [sys.executable, "-m", "medseg", "predict", str(scans), "--model", str(folder)]
    medseg += ["--device", "cpu", "-o"]
    return {
        "float32": [*medseg, str(work / "float32"), "--precision", "float32"],
        "nnunet": [
            str(SCRIPTS / "nnUNetv2_predict"), "-i", str(scans), "-o", str(work / "nnunet"),
            "-d", "997", "-c", "3d_fullres", "-f", "0", "--disable_tta", "-device", "cpu",
        ],
        "bfloat16": [*medseg, str(work / "bfloat16"), "--precision", "bfloat16"],
    }  # fmt: skip


def run(command: list[str], work: Path) -> Usage:
    """Run a command on two processors, and watch the memory of all its processes."""
    places = {name: str(work / name) for name in ("raw", "preprocessed", "results")}
    environment = {
        **os.environ,
        **{f"nnUNet_{name}": place for name, place in places.items()},
        "OMP_NUM_THREADS": "2",
        "PYTHONPATH": str(ROOT),
    }
    peaks, ended = [0.0], threading.Event()
    began = time.perf_counter()
    with (
        (work / "log.txt").open("ab") as log,
        subprocess.Popen(
            command, env=environment, stdout=log, stderr=log, preexec_fn=on_two_processors
        ) as process,
    ):
        watch = threading.Thread(target=_watch, args=(process.pid, peaks, ended))
        watch.start()
        code = process.wait()
        seconds = time.perf_counter() - began
        ended.set()
        watch.join()
    if code:
        raise SystemExit(f"{command[0]} ended with {code}; see {work / 'log.txt'}")
    return Usage(seconds, peaks[0])


def on_two_processors() -> None:
    """Leave a process two processors, as many as it has threads."""
    os.sched_setaffinity(0, set(sorted(os.sched_getaffinity(0))[:2]))


def _watch(pid: int, peaks: list[float], ended: threading.Event) -> None:
    while not ended.wait(0.05):
        try:
            leader = psutil.Process(pid)
            sizes = [_private(one) for one in (leader, *leader.children(recursive=True))]
        except psutil.NoSuchProcess:
            continue
        peaks[0] = max(peaks[0], sum(sizes) / 1e6)


def _private(process: psutil.Process) -> int:
    """Return the memory that is a process's own."""
    try:
        found = process.memory_info()
    except psutil.NoSuchProcess:
        return 0
    return int(found.rss - found.shared)


def agreement(work: Path, name: str) -> float:
    """Return the share of voxels in which the results of medseg and nnU-Net agree."""
    equal = []
    for path in sorted((work / "nnunet").glob("*.nii.gz")):
        expected = np.asarray(nibabel.load(path).dataobj)
        shares = np.bincount(expected.reshape(-1).astype(int)) / expected.size
        if (shares > LEAST_SHARE).sum() < 1 + LEAST_LABELS:
            raise SystemExit(f"{path} shows too few labels; fit the network for longer")
        (other,) = (work / name).glob(f"{path.name.removesuffix('.nii.gz')}*.nii.gz")
        equal.append((np.asarray(nibabel.load(other).dataobj) == expected).mean())
    return float(np.mean(equal))


def write_scans(folder: Path) -> None:
    """Write two CT volumes, and beside them what is in them."""
    folder.mkdir(parents=True)
    affine = np.diag([-SPACING_MM[0], -SPACING_MM[1], SPACING_MM[2], 1.0])
    for seed in (1, 2):
        image, _ = organs(SHAPE, SPACING_MM, seed)
        path = folder / f"case{seed}_0000.nii.gz"
        nibabel.save(nibabel.Nifti1Image(image.astype(np.int16), affine), path)


def organs(
    shape: tuple[int, int, int], spacing_mm: tuple[float, float, float], seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return a body with organs in Hounsfield units, each of its own brightness, and where."""
    rng = np.random.default_rng(seed)
    extent = np.array(shape) * spacing_mm
    axes = [(np.arange(n) + 0.5) * step for n, step in zip(shape, spacing_mm, strict=True)]

    def inside(centre: np.ndarray, half: np.ndarray) -> np.ndarray:
        parts = [((a - c) / h) ** 2 for a, c, h in zip(axes, centre, half, strict=True)]
        return parts[0][:, None, None] + parts[1][:, None] + parts[2] < 1

    image = np.full(shape, -1000.0, np.float32)
    image[inside(extent / 2, extent * (0.46, 0.4, 0.9))] = -60
    labels = np.zeros(shape, np.uint8)
    for label in range(1, LABELS + 1):
        angle = 2 * np.pi * label / LABELS
        away = np.array([0.25 * np.cos(angle), 0.2 * np.sin(angle), 0.2 * np.sin(3 * angle)])
        place = inside(extent * (0.5 + away + rng.uniform(-0.02, 0.02, 3)), rng.uniform(22, 42, 3))
        image[place], labels[place] = 35 * label - 20, label
    return image + rng.normal(0, 6, shape).astype(np.float32), labels


def write_model(results: Path, features: int) -> None:
    """Fit a network as nnU-Net would plan it, and write it as nnU-Net does."""
    sys.path.insert(0, str(ROOT))  # the tests know how nnU-Net writes a folder
    from tests import nnunet_results

    widths = [features * n for n in (1, 2, 4, 8, 10, 10)]
    architecture = nnunet_results.PLAIN | {
        "n_stages": 6, "features_per_stage": widths, "kernel_sizes": [[3, 3, 3]] * 6,
        "strides": [[1, 1, 1], *[[2, 2, 2]] * 4, [1, 2, 2]],
        "n_conv_per_stage": [2] * 6, "n_conv_per_stage_decoder": [2] * 5,
    }  # fmt: skip
    plans = nnunet_results.plans(
        dataset_name=DATA_SET, patch_size=PATCH, spacing=PLANNED_MM,
        normalization_schemes=["CTNormalization"],
        architecture={
            "network_class_name": nnunet_results.UNET + "PlainConvUNet",
            "arch_kwargs": architecture, "_kw_requires_import": nnunet_results.MODULES,
        },
    )  # fmt: skip
    names = {"background": 0} | {f"organ {n}": n for n in range(1, LABELS + 1)}
    description = nnunet_results.description(names, ("CT",))
    network = fitted(plans)
    folder = results / DATA_SET / "nnUNetTrainer__nnUNetPlans__3d_fullres"
    (folder / "fold_0").mkdir(parents=True)
    nnunet_results.save(folder / "fold_0" / "checkpoint_final.pth", network, plans, description)
    (folder / "plans.json").write_text(json.dumps(plans))
    (folder / "dataset.json").write_text(json.dumps(description))


def fitted(plans: dict) -> object:
    """Return the network of the plans after some steps on parts of a third volume."""
    import torch
    from nnunetv2.utilities.get_network_from_plans import get_network_from_plans
    from torch.nn import functional

    torch.manual_seed(0)
    configuration = plans["configurations"]["3d_fullres"]
    architecture = configuration["architecture"]
    network = get_network_from_plans(
        *(architecture[key] for key in architecture), 1, LABELS + 1, deep_supervision=False
    )
    statistics_of = plans["foreground_intensity_properties_per_channel"]["0"]
    size = tuple(round(n * a / b) for n, a, b in zip(
        SHAPE[::-1], SPACING_MM[::-1], PLANNED_MM, strict=True))  # fmt: skip
    image, labels = organs(size[::-1], tuple(PLANNED_MM[::-1]), 3)
    image = image.clip(statistics_of["percentile_00_5"], statistics_of["percentile_99_5"])
    image = ((image - statistics_of["mean"]) / statistics_of["std"]).transpose(2, 1, 0).copy()
    labels = labels.transpose(2, 1, 0).copy()
    optimizer = torch.optim.AdamW(network.parameters(), lr=5e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
    weight = torch.tensor([0.1] + [1.0] * LABELS)
    rng = np.random.default_rng(0)
    for step in range(STEPS):
        part = around(labels == 1 + step % LABELS, rng)
        optimizer.zero_grad()
        logits = network(torch.from_numpy(image[part])[None, None])
        target = torch.from_numpy(labels[part]).long()[None]
        loss = functional.cross_entropy(logits, target, weight=weight)
        loss.backward()
        optimizer.step()
        schedule.step()
        print(f"fitting: step {step + 1} of {STEPS}, loss {loss.item():.3f}", flush=True)
    return network


def around(mask: np.ndarray, rng: np.random.Generator) -> tuple[slice, ...]:
    """Return a part of a volume whose middle lies in the mask, or as near as its sides allow."""
    places = np.argwhere(mask)
    middle = places[rng.integers(len(places))]
    sizes = (32, 32, 64)
    starts = [
        int(np.clip(m - size // 2, 0, length - size))
        for m, size, length in zip(middle, sizes, mask.shape, strict=True)
    ]
    return tuple(slice(start, start + size) for start, size in zip(starts, sizes, strict=True))


if __name__ == "__main__":
    main()
