"""What the options of speed cost in Dice: a run's held-out cases, predicted in several ways.

    python benchmarks/speed_options.py --run RUN_FOLDER [--cases N] [--device cuda]

`plain` computes every patch by itself, in float32; `fast` is cropped, skips what is empty, takes
four patches at once and computes in bfloat16. Both shall have the same mean Dice to three decimals.
The cases are those of the run, where they lay when it was trained.
"""

import argparse
import time
from pathlib import Path

import numpy as np
from harness import publish_columns

from medseg.data.cases import read_image, read_labels
from medseg.evaluation.metrics import dice
from medseg.evaluation.pair import Pair
from medseg.inference import device, predict
from medseg.inference.options import Options
from medseg.model_list import choose_bundle
from medseg.regions import encode
from medseg.training.run_folder import RunFolder, read_split

THREADS = 2
WAYS = {
    "plain": (Options("float32", crop=False, skip=False), 1),
    "fast: cropped, skipping, 4 at once, bfloat16": (Options("bfloat16"), 4),
    "fast and --quick": (Options("bfloat16", quick=True), 4),
    "fast and --tta": (Options("bfloat16", tta=True), 4),
    "plain and --tta": (Options("float32", tta=True, crop=False, skip=False), 1),
}


def predictor_of(run: Path, options: Options, batch: int, where: str) -> predict.Predictor:
    """Load a run's model, to be applied in one way."""
    bundle = choose_bundle(run)
    inference = bundle.plan.inference.model_copy(update={"batch": batch})
    plan = bundle.plan.model_copy(update={"inference": inference})
    changed = type(bundle)(bundle.folder, bundle.task, plan, bundle.experience)
    return predict.load(changed, device.choose(where), options)  # type: ignore[arg-type]


def main() -> None:
    """Predict, score and keep the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--cases", type=int, help="no more than the first so many")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    given = parser.parse_args()
    cases = read_split(RunFolder(given.run)).held_out[: given.cases]
    task = choose_bundle(given.run).task
    scans = [read_image(case, task) for case in cases]
    references = [
        encode(read_labels(case, task, scan.grid), task)
        for case, scan in zip(cases, scans, strict=True)
    ]
    lines = []
    for name, (options, batch) in WAYS.items():
        predictor = predictor_of(given.run, options, batch, given.device)
        predict.predict(predictor, scans[0])  # what is done once is not timed
        began, table = time.perf_counter(), []
        found = [predict.predict(predictor, scan).label_map for scan in scans]
        seconds = (time.perf_counter() - began) / len(scans)
        for scan, there, label_map in zip(scans, references, found, strict=True):
            pairs = zip(there, encode(label_map, task), strict=True)
            table.append([dice.compute(Pair(*pair, spacing_mm=scan.spacing_mm)) for pair in pairs])
        means = np.nanmean(np.array(table), axis=0)
        lines.append(
            [name, f"{means.mean():.4f}", *(f"{mean:.4f}" for mean in means), f"{seconds:.3f}"]
        )
        print(lines[-1], flush=True)
    publish_columns(
        f"speed_options_{task.name}",
        [f"{len(scans)} cases of {task.name}", "mean Dice", *task.region_names, "s per case"],
        lines,
        packages=["torch"],
        threads=THREADS,
        device=given.device,
    )


if __name__ == "__main__":
    import torch

    torch.set_num_threads(THREADS)
    main()
