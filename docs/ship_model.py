"""Put the model of a training run among those that come with medseg.

Usage: python docs/ship_model.py RUN [--name NAME]

It stores the weights as bfloat16, segments and scores the cases that the run held out with exactly
these, refuses what is too large or not good enough, and writes the model card.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import yaml

from medseg import bundle as bundles
from medseg import resources
from medseg.bundle import Bundle
from medseg.training.run_folder import RunFolder, read_metrics, read_split

MOST_BYTES = 10_000_000
LEAST_DICE = 0.86

CARD = """# {title}

A {network} of medseg for research. It is no medical device: do not base decisions about patients
on it.

## Data and licence

Trained on {trained} cases for {minutes:.0f} minutes; {held_out} cases were held out. The weights
are made from the data and are handed on under the same licence: {licence}.

{origin}

{cite}

## Who is in the data

{who}

## Scores

On the {held_out} cases that were held out, with these weights; they come from the same source as
the training cases.

{scores}

## Limits

- It expects scans like those above: {channels}, prepared and cut out alike. Of others, such as
  whole heads where the data are cut-outs, it makes nothing of use. `medseg predict` says when a
  scan is unlike the training cases; `--strict` refuses it.
- It was not tested on scans of other centres or scanners, nor on patients unlike those above.
- Known faults of the data:

{faults}
"""


def main() -> None:
    """Round, score, judge and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--name", help="Its short name; else that of its task.")
    given = parser.parse_args()
    model = bundles.read(given.run)
    with tempfile.TemporaryDirectory() as place:
        rounded = bundles.rounded(model, Path(place) / "bundle")
        scores = scored(rounded, given.run, Path(place))
        size = sum(file.stat().st_size for file in rounded.folder.iterdir())
    dice = mean_dice(scores)
    if dice < LEAST_DICE or size > MOST_BYTES:
        sys.exit(
            f"Not shipped: mean Dice {dice:.4f} (at least {LEAST_DICE}),"
            f" {size / 1e6:.1f} MB (at most {MOST_BYTES / 1e6:.0f})"
        )
    folder = resources.folder("models") / (given.name or model.task.name)
    bundles.rounded(model, folder, card=card(model, given.run, scores))
    print(f"{folder}: mean Dice {dice:.4f}, {size / 1e6:.1f} MB")  # noqa: T201 - a script


def scored(model: Bundle, run: Path, place: Path) -> dict[str, Any]:
    """Segment and score what the run held out; return the regions of `summary.json`."""
    words = [sys.executable, "-m", "medseg"]
    predicted, scores = place / "predictions", place / "scores"
    given = ["--held-out", str(run), "-o", str(predicted), "--model", str(model.folder)]
    subprocess.run([*words, "predict", *given], check=True)
    given = ["--held-out", str(run), "-o", str(scores), "--prediction", str(predicted)]
    subprocess.run([*words, "evaluate", *given], check=True)
    found: dict[str, Any] = json.loads((scores / "summary.json").read_text("utf-8"))["regions"]
    return found


def mean_dice(scores: dict[str, Any]) -> float:
    """Return the mean over the regions, which weigh the same."""
    return sum(region["mean"]["dice"] for region in scores.values()) / len(scores)


def card(model: Bundle, run: Path, scores: dict[str, Any]) -> str:
    """Write the model card; what it says of the data is the data card's."""
    folder, task = RunFolder(run), model.task
    text = (resources.folder("data_cards") / f"{task.name}.md").read_text(encoding="utf-8")
    _, front, body = text.split("---\n", 2)
    parts = read_split(folder)
    rows = [
        f"| {name} | {region['mean']['dice']:.3f} | {region['mean']['hd95_mm']:.2f} |"
        for name, region in scores.items()
    ]
    mean = f"| mean | {mean_dice(scores):.3f} | {_mean_hd95(scores):.2f} |"
    return CARD.format(
        title=f"{task.title}: {model.plan.network.name}",
        network=model.plan.network.name,
        trained=len(parts.training),
        held_out=len(parts.held_out),
        minutes=read_metrics(folder.metrics)[-1]["seconds"] / 60,
        licence=yaml.safe_load(front)["licence"],
        origin=section(body, "Where the images come from"),
        cite=section(body, "How to cite"),
        who=section(body, "Who is in them"),
        scores="\n".join(["| region | Dice | HD95 mm |", "|---|---|---|", *rows, mean]),
        channels=", ".join(task.channels),
        faults=section(body, "Known faults"),
    )


def section(body: str, title: str) -> str:
    """Return the text below a heading of a data card."""
    found = re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", body, re.MULTILINE | re.DOTALL)
    if found is None:
        raise ValueError(f"the data card has no section {title!r}")
    return found[1].strip()


def _mean_hd95(scores: dict[str, Any]) -> float:
    return sum(region["mean"]["hd95_mm"] for region in scores.values()) / len(scores)


if __name__ == "__main__":
    main()
