"""Every network trained for the same time on the same data by the same recipe.

`python benchmarks/hippocampus.py --data Task04_Hippocampus [--minutes 30] [--work FOLDER]` trains
each network in its `small` size on fold 0, predicts the held-out scans and scores them. A run that
is in the folder already is not trained again.
"""

import argparse
import csv
import json
import subprocess
import sys
from pathlib import Path

from harness import publish_columns

from medseg import networks, registry

THREADS = 2
COLUMNS = ["network, small size", "parameters", "steps", "Dice", "anterior", "posterior", "HD95 mm"]


def medseg(*words: object) -> None:
    """Run the command line."""
    subprocess.run([sys.executable, "-m", "medseg", *map(str, words)], check=True)


def train(name: str, run: Path, data: Path, minutes: float) -> None:
    """Train a network with the default recipe."""
    medseg(
        *("train", "--task", "hippocampus", "--data", data, "--fold", 0, "--network", name),
        *("--recipe", "default", "--set", "network.options.size=small"),
        *("--max-time", f"{minutes:g}m", "--out", run),
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


def line(name: str, run: Path, found: dict[str, dict[str, float]]) -> list[str]:
    """Lay out one network."""
    small = networks.build(name, in_channels=1, out_channels=3, size="small")
    parameters = sum(parameter.numel() for parameter in small.parameters())
    with (run / "metrics.csv").open(encoding="utf-8") as file:
        steps = list(csv.DictReader(file))[-1]["step"]
    dice = {region: found[region]["dice"] for region in ("anterior", "posterior")}
    hd95 = [found[region]["hd95_mm"] for region in dice]
    return [
        name,
        f"{parameters / 1e6:.1f} M",
        steps,
        f"{sum(dice.values()) / 2:.3f}",
        *(f"{value:.3f}" for value in dice.values()),
        f"{sum(hd95) / 2:.2f}",
    ]


def main() -> None:
    """Train, predict and score every network."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--work", type=Path, default=Path("hippocampus_runs"))
    given = parser.parse_args()
    lines: list[list[str]] = []
    for name in registry.names(networks):
        run = given.work / "runs" / name
        if not (run / "bundle").exists():
            train(name, run, given.data, given.minutes)
        lines.append(line(name, run, score(run, given.data, given.work)))
        publish_columns(
            f"hippocampus_{given.minutes:g}_minutes",
            COLUMNS,
            lines,
            packages=["torch", "monai"],
            threads=THREADS,
        )


if __name__ == "__main__":
    main()
