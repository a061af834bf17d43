"""The default network and nnU-Net, trained for the same time on the same part of the same data.

`python benchmarks/against_nnunet.py --data Task04_Hippocampus [--minutes 30] [--network NAME]
[--work FOLDER]` trains both sides on fold 0 in float32, one after the other, in two threads, and
scores what each predicts for the held-out scans. nnU-Net is `3d_fullres` as `nnUNetv2_train` trains
it, with its own patches, network, rate and mirrored predictions; only the length of its training
is another, see `nnunet_trainer/timed.py`. Preparing the data, validation and predictions are
outside the clock; of ours, validating with one scan each epoch is inside. What is in FOLDER
already is not done again.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from harness import publish_columns

from medseg import files, networks, registry
from medseg import recipe as recipes
from medseg import task as tasks
from medseg.cli.train import Display
from medseg.data import folds, layouts
from medseg.data.cases import Case
from medseg.training.fit import Stage, fit
from medseg.training.run_folder import Request, RunFolder, read_metrics

THREADS = 2
TASK, REGIONS = "hippocampus", ("anterior", "posterior")
DATASET, CONFIGURATION, TRAINER = "Dataset004_Hippocampus", "3d_fullres", "TimedTrainer"
COLUMNS = ["", "steps", "patches", "minutes", "Dice", *REGIONS, "HD95 mm"]
SET_UP = "set_up_seconds"
HERE = Path(__file__).parent


def run(*words: object, **variables: str) -> None:
    """Run a program that lies beside this Python, in as many threads as is told."""
    program = Path(sys.executable).with_name(str(words[0]))
    environment = {**os.environ, "OMP_NUM_THREADS": str(THREADS), **variables}
    subprocess.run([str(program), *map(str, words[1:])], check=True, env=environment)


def medseg(*words: object) -> None:
    """Run our command line."""
    run(Path(sys.executable).name, "-m", "medseg", *words)


def cases_of(data: Path) -> list[Case]:
    """Return the labelled cases."""
    return list(layouts.require_labelled(layouts.find(data, tasks.read(TASK)).data_set))


def write_raw(cases: list[Case], folder: Path) -> None:
    """Lay out the cases as nnU-Net wants them."""
    for name in ("imagesTr", "labelsTr"):
        (folder / name).mkdir(parents=True)
    for case in cases:
        if case.label is None:
            raise ValueError(f"{case.name} has no label")
        shutil.copy(case.images[0], folder / "imagesTr" / f"{case.name}_0000.nii.gz")
        shutil.copy(case.label, folder / "labelsTr" / f"{case.name}.nii.gz")
    described = {
        "channel_names": {"0": "MRI"},
        "labels": {"background": 0} | {name: n for n, name in enumerate(REGIONS, start=1)},
        "numTraining": len(cases),
        "file_ending": ".nii.gz",
    }
    files.write_text(folder / "dataset.json", json.dumps(described))


def splits_of(cases: list[Case]) -> list[dict[str, list[str]]]:
    """Return the five folds as nnU-Net's `splits_final.json` has them."""
    parts = [folds.split(cases, fold) for fold in range(folds.FOLDS)]
    return [
        {
            "train": [case.name for case in part.training],
            "val": [case.name for case in part.held_out],
        }
        for part in parts
    ]


def train_nnunet(data: Path, work: Path, minutes: float) -> Path:
    """Prepare the data and train as nnU-Net does; return its folder of the fold."""
    places = {name: str(work / name) for name in ("nnUNet_raw", "nnUNet_preprocessed")}
    places["nnUNet_results"] = str(work / "nnUNet_results")
    fold = work / f"nnUNet_results/{DATASET}/{TRAINER}__nnUNetPlans__{CONFIGURATION}/fold_0"
    prepared = work / "nnUNet_preprocessed" / DATASET
    if not (prepared / "splits_final.json").is_file():
        cases = cases_of(data)
        shutil.rmtree(work / "nnUNet_raw", ignore_errors=True)
        write_raw(cases, work / "nnUNet_raw" / DATASET)
        preparing = ("-d", 4, "-c", CONFIGURATION, "-np", THREADS)
        run("nnUNetv2_plan_and_preprocess", *preparing, **places)
        files.write_text(prepared / "splits_final.json", json.dumps(splits_of(cases)))
    if not (fold / "validation" / "summary.json").is_file():
        timed = {
            "nnUNet_extTrainer": str(HERE / "nnunet_trainer"),
            "nnUNet_n_proc_DA": str(THREADS),
            "nnUNet_def_n_proc": str(THREADS),
            "TIMED_SECONDS": str(minutes * 60),
            "TIMED_THREADS": str(THREADS),
        }
        training = (4, CONFIGURATION, 0, "-tr", TRAINER, "-device", "cpu")
        run("nnUNetv2_train", *training, **places, **timed)
    return fold


class Stopwatch(Display):
    """Shows a run and notes when the last case was prepared, which the run's own clock counts."""

    def __init__(self) -> None:
        super().__init__()
        self._start = time.monotonic()
        self.set_up_seconds = 0.0

    def on_case(self, stage: Stage, total: int) -> None:
        """Note the time."""
        super().on_case(stage, total)
        self.set_up_seconds = time.monotonic() - self._start


def train_medseg(data: Path, work: Path, seconds: float, network: str | None) -> None:
    """Train for no time, which prepares the cases; again, to learn how long a start takes; then."""
    set_up = 0.0
    for name in ("preparing", "starting", "medseg"):
        shutil.rmtree(work / name, ignore_errors=True)
        request = Request(
            task=TASK,
            data=str(data.resolve()),
            network=network,
            fold=0,
            epochs=None,
            max_seconds=set_up + (seconds if name == "medseg" else 1e-3),
            device="cpu",
            recipe="default",
            split=folds.BY_FOLDS,
            settings=("training.validation_cases=1", "training.precision=float32"),
        )
        watch = Stopwatch()
        with watch:
            fit(request, RunFolder(work / name, shared_cache=work / "prepared"), watch)
        set_up = watch.set_up_seconds
    files.write_text(work / "medseg" / SET_UP, str(set_up))


def effort_of_medseg(run: RunFolder) -> list[str]:
    """Name the network, and say how far it was trained."""
    plan = recipes.read_plan(run.plan.read_text(encoding="utf-8"), where=run.plan)
    last = read_metrics(run.metrics)[-1]
    seconds = last["seconds"] - float((run.path / SET_UP).read_text())
    return _effort(f"medseg, {plan.network.name}", last["step"], plan.batch, seconds)


def effort_of_nnunet(fold: Path) -> list[str]:
    """Do the same for nnU-Net."""
    clock = json.loads((fold / "clock.json").read_text())
    return _effort(f"nnU-Net, {CONFIGURATION}", clock["steps"], clock["batch"], clock["seconds"])


def _effort(name: str, steps: float, batch: int, seconds: float) -> list[str]:
    return [name, f"{steps:.0f}", f"{steps * batch:.0f}", f"{seconds / 60:.1f}"]


def score(data: Path, predictions: Path, trained: Path, place: Path) -> list[str]:
    """Score predictions of the held-out scans; return mean Dice, that of each region, and HD95."""
    medseg(
        *("evaluate", "--task", TASK, "--reference", data / "labelsTr"),
        *("--prediction", predictions, "--held-out", trained, "-o", place),
    )
    found = json.loads((place / "summary.json").read_text(encoding="utf-8"))["regions"]
    dice = [found[region]["mean"]["dice"] for region in REGIONS]
    hd95 = [found[region]["mean"]["hd95_mm"] for region in REGIONS]
    mean = sum(dice) / len(dice)
    return [*(f"{value:.4f}" for value in (mean, *dice)), f"{sum(hd95) / len(hd95):.3f}"]


def main() -> None:
    """Train, predict and score both sides."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--network", choices=registry.names(networks))
    parser.add_argument("--work", type=Path)
    parser.add_argument("--only-train-medseg", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    work = (given.work or Path(tempfile.mkdtemp(prefix="against_nnunet_"))).resolve()
    if given.only_train_medseg:
        train_medseg(given.data, work, given.minutes * 60, given.network)
        return
    trained = work / "medseg"
    if not (trained / "bundle").exists():
        chosen = ("--network", given.network) if given.network else ()
        words = ("--data", given.data, "--minutes", given.minutes, "--work", work, *chosen)
        run(Path(sys.executable).name, __file__, *words, "--only-train-medseg")
    if not (work / "predictions").exists():
        medseg("predict", "--held-out", trained, "-o", work / "predictions")
    fold = train_nnunet(given.data, work, given.minutes)
    ours = score(given.data, work / "predictions", trained, work / "scores_of_medseg")
    theirs = score(given.data, fold / "validation", trained, work / "scores_of_nnunet")
    publish_columns(
        "against_nnunet",
        COLUMNS,
        [[*effort_of_medseg(RunFolder(trained)), *ours], [*effort_of_nnunet(fold), *theirs]],
        packages=["torch", "monai", "nnunetv2"],
        threads=THREADS,
    )


if __name__ == "__main__":
    main()
