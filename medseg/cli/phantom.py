"""`medseg phantom`: a synthetic data set to try medseg with."""

from pathlib import Path
from typing import Annotated

import typer

from medseg.cli.console import out
from medseg.errors import UsageError


def phantom(
    folder: Annotated[Path, typer.Argument(help="Where to make the data set.")],
    cases: Annotated[int, typer.Option(min=5, help="Labelled cases to train with.")] = 20,
    test_cases: Annotated[int, typer.Option(min=0, help="Labelled cases to test with.")] = 4,
    seed: Annotated[int, typer.Option(help="Of everything random.")] = 0,
) -> None:
    """Make a synthetic data set for the task phantom."""
    from medseg.data.phantom import write_dataset

    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError("is not empty", where=folder, remedy="Name a new folder")
    write_dataset(folder, cases=cases, test_cases=test_cases, seed=seed)
    out.print(f"{cases} cases to train with, {test_cases} to test with: {folder}")
