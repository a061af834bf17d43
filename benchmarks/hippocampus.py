"""Every network trained for the same time on the same data by the same recipe.

`python benchmarks/hippocampus.py --data Task04_Hippocampus [--minutes 30] [--device cuda] [--work
FOLDER]` trains each network in its `small` size on fold 0, predicts the held-out scans and scores
them. A run that is in the folder already is not trained again.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

import torch
from harness import publish_columns

from medseg import networks, registry
from medseg import recipe as recipes
from medseg import task as tasks
from medseg.training.plan import build_network
from medseg.training.run_folder import RunFolder, read_metrics

THREADS = 2
COLUMNS = ["network, small size", "parameters", "steps", "Dice", "anterior", "posterior", "HD95 mm"]


def medseg(*words: object) -> None:
    """Run the command line, in as many threads as is told."""
    subprocess.run(
        [sys.executable, "-m", "medseg", *map(str, words)],
        check=True,
        env={**os.environ, "OMP_NUM_THREADS": str(THREADS)},
    )


def train(name: str, run: Path, data: Path, minutes: float, device: str) -> None:
    """Train a network with the default recipe."""
    medseg(
        *("train", "--task", "hippocampus", "--data", data, "--fold", 0, "--network", name),
        *("--recipe", "default", "--set", "network.options.size=small"),
        *("--max-time", f"{minutes:g}m", "--device", device, "--out", run),
    )


def score(run: Path, data: Path, work: Path) -> dict[str, dict[str, float]]:
    """Predict and score the held-out scans; return mean Dice and HD95 of each region."""
    predictions, scores = work / "predictions" / run.name, work / "scores" / run.name
    if not (scores / "summary.json").exists():
        medseg("predict", "--held-out", run, "-o", predictions)
        medseg(
            *("evaluate", "--task", "hippocampus", "--reference", data / "labelsTr"),
            *("--prediction", predictions, "--held-out", run, "-o", scores),
        )
    summary = json.loads((scores / "summary.json").read_text(encoding="utf-8"))
    return {region: found["mean"] for region, found in summary["regions"].items()}


def parameters_of(run: RunFolder) -> int:
    """Count the parameters of the network that was trained, with what its plan fitted."""
    task = tasks.parse(run.task.read_text(encoding="utf-8"), where=run.task)
    plan = recipes.read_plan(run.plan.read_text(encoding="utf-8"), where=run.plan)
    with torch.device("meta"):
        network = build_network(plan.network, task)
    return sum(parameter.numel() for parameter in network.parameters())


def line(name: str, run: RunFolder, found: dict[str, dict[str, float]]) -> list[str]:
    """Lay out one network."""
    steps = read_metrics(run.metrics)[-1]["step"]
    dice = {region: found[region]["dice"] for region in ("anterior", "posterior")}
    hd95 = [found[region]["hd95_mm"] for region in dice]
    return [
        name,
        f"{parameters_of(run) / 1e6:.1f} M",
        f"{steps:.0f}",
        f"{sum(dice.values()) / 2:.3f}",
        *(f"{value:.3f}" for value in dice.values()),
        f"{sum(hd95) / 2:.2f}",
    ]


def main() -> None:
    """Train, predict and score every network."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--work", type=Path, default=Path("hippocampus_runs"))
    given = parser.parse_args()
    lines: list[list[str]] = []
    for name in registry.names(networks):
        run = given.work / "runs" / name
        if not (run / "bundle").exists():
            train(name, run, given.data, given.minutes, given.device)
        lines.append(line(name, RunFolder(run), score(run, given.data, given.work)))
        publish_columns(
            f"hippocampus_{given.minutes:g}_minutes_{given.device}",
            COLUMNS,
            lines,
            packages=["torch", "monai"],
            threads=THREADS,
            device=given.device,
        )


if __name__ == "__main__":
    main()
