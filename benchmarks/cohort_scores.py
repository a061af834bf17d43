"""Scores of a cohort of 200 hippocampi by the command line, from files to `summary.json`.

The predictions are the references with realistic errors: each structure is shifted by up to a voxel
and a half, grown or shrunk by a voxel, and one in forty is missed. The time is that of
`medseg evaluate -o`: start of the program, reading, all metrics of every case, intervals, writing.
"""

import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import nibabel
import numpy as np
from harness import NOT_RUN, Row, publish
from scipy import ndimage

from medseg import formats
from medseg import task as tasks
from medseg.data import layouts
from medseg.errors import DataError

CASES = 200
WANTED_S = 5.0
REPEATS = 3
MISSED = 1 / 40
THREADS = len(os.sched_getaffinity(0))
SEED = 0


def spoiled(label_map: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return a label map as a network might predict it."""
    found = np.zeros_like(label_map)
    for value in np.unique(label_map[label_map > 0]):
        if rng.random() < MISSED:
            continue
        shift = rng.uniform(-1.5, 1.5, size=3)
        soft = ndimage.gaussian_filter((label_map == value).astype(np.float32), 0.7)
        moved = ndimage.shift(soft, shift, order=1)
        found[moved > rng.uniform(0.3, 0.7)] = value
    return found


def make_cohort(folder: Path) -> None:
    """Write 200 references and predictions."""
    task = tasks.read("hippocampus")
    cases = layouts.cases(layouts.find_data(task), task)
    rng = np.random.default_rng(SEED)
    for number in range(CASES):
        case = cases[number % len(cases)]
        reference = formats.read_segmentation(case.label, task)
        sides = {
            "reference": reference.label_map,
            "prediction": spoiled(reference.label_map, rng),
        }
        for side, label_map in sides.items():
            path = folder / side / f"case_{number:03d}.nii.gz"
            path.parent.mkdir(exist_ok=True)
            nibabel.Nifti1Image(label_map, reference.grid.affine).to_filename(path)


def seconds_of_one_run(folder: Path) -> tuple[float, float]:
    """Run the command line as a user does; return its wall-clock and its processor time."""
    places = ["--reference", folder / "reference", "--prediction", folder / "prediction"]
    command = [sys.executable, "-m", "medseg", "evaluate", "--task", "hippocampus", *places]
    start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([*command, "-o", folder / "scores"], check=True, capture_output=True)
    seconds, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Make the cohort, and keep the median of three runs."""
    with tempfile.TemporaryDirectory() as place:
        try:
            make_cohort(Path(place))
        except DataError as error:
            print(f"not run: {error}")
            sys.exit(NOT_RUN)
        runs = [seconds_of_one_run(Path(place)) for _ in range(REPEATS)]
    case = f"{CASES} pairs of hippocampi, all metrics, from files to files"
    wanted = {"wanted at most": WANTED_S}
    rows = [
        Row(case, quantity, "s", float(np.median(seconds)), wanted)
        for quantity, seconds in zip(
            ("wall clock", "processor time"), zip(*runs, strict=True), strict=True
        )
    ]
    publish("cohort_scores", rows, packages=["numpy", "scipy", "nibabel"], threads=THREADS)


if __name__ == "__main__":
    main()
