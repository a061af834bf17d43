"""`medseg demo`: the whole line on synthetic data, in a few minutes on two cores."""

import shutil
from pathlib import Path
from typing import Annotated

import typer

from medseg.cli.console import err, out
from medseg.errors import UsageError

_SETTINGS = (
    "network.options.features=12",
    "patch=[48,48,40]",
    "training.learning_rate=0.002",
    "training.average=0.98",
    "training.validation_cases=2",
)


def demo(
    folder: Annotated[Path, typer.Option("--out", help="Where to put it all; is made anew.")] = (
        Path("demo_output")
    ),
    max_time: Annotated[str, typer.Option(help="How long to train.")] = "100s",
) -> None:
    """Make a data set, train, predict unseen cases, evaluate, export for 3D Slicer, report."""
    from medseg.cli.evaluate import evaluate
    from medseg.cli.phantom import phantom
    from medseg.cli.predict import predict
    from medseg.cli.report import report
    from medseg.cli.train import train

    _make_room(folder)
    data, run, predictions = folder / "data", folder / "run", folder / "predictions"
    scans = data / "imagesTs"
    _say(1, f"make a data set: medseg phantom {data}")
    phantom(data, cases=20, test_cases=4, seed=0)
    _say(2, f"train: medseg train --task phantom --data {data} --out {run} --max-time {max_time}")
    train(task="phantom", data=data, out_folder=run, max_time=max_time, settings=list(_SETTINGS))
    _say(3, f"predict: medseg predict {scans} --model {run} -o {predictions}")
    predict([scans], model=[run], output=predictions)
    predict([scans], model=[run], output=predictions, file_format="seg.nrrd")
    references = data / "labelsTs"
    folders = f"--reference {references} --prediction {predictions}"
    _say(4, f"evaluate: medseg evaluate --task phantom {folders} -o {folder / 'scores'}")
    evaluate(task="phantom", reference=references, prediction=predictions, output=folder / "scores")
    pages = folder / "report"
    _say(5, f"report: medseg report {predictions} --reference {references} -o {pages}")
    report(predictions, reference=references, output=pages)
    out.print(f"Label maps (NIfTI):        {predictions}/*_seg.nii.gz")
    out.print(f"For 3D Slicer:             {predictions}/*_seg.seg.nrrd")
    out.print(f"Scores:                    {folder / 'scores' / 'summary.json'}")
    out.print(f"How training went:         {run / 'curves.png'}")
    out.print(f"To look at in a browser:   {(pages / 'index.html').resolve()}")


def _make_room(folder: Path) -> None:
    """Remove an earlier demo; never anything else."""
    from medseg import files

    marker = folder / ".medseg-demo"
    if folder.exists() and not marker.is_file() and not _is_empty(folder):
        raise UsageError(
            "holds something other than an earlier demo",
            where=folder,
            remedy="Name a new folder with --out",
        )
    if marker.is_file():
        shutil.rmtree(folder)
    files.write_text(marker, "Made by 'medseg demo', which replaces this folder.\n")


def _is_empty(folder: Path) -> bool:
    return folder.is_dir() and not any(folder.iterdir())


def _say(step: int, what: str) -> None:
    err.print(f"\nStep {step} of 5, {what}", style="bold")
