"""`medseg evaluate`: scores of predictions against references."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from medseg.cli.console import bar, out
from medseg.errors import UsageError

if TYPE_CHECKING:
    from medseg.evaluation.score import Scores

SHOWN: Final = ("dice", "nsd", "hd95_mm", "hd95_voxels", "assd_mm")
"""The columns that are printed; the files hold all."""


def evaluate(
    task: Annotated[str, typer.Option(help="What the labels mean: a name or a YAML file.")],
    reference: Annotated[Path, typer.Option(help="Folder of reference label maps.")],
    prediction: Annotated[Path, typer.Option(help="Folder of predicted label maps.")],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Folder for scores.csv, summary.json.")
    ] = None,
    convention: Annotated[
        list[str] | None,
        typer.Option(
            help="Whose definitions: medseg, monai, brats2023, ... Repeat to see several."
        ),
    ] = None,
    held_out: Annotated[
        Path | None, typer.Option(help="Score only the cases that this training run held out.")
    ] = None,
) -> None:
    """Score predictions: overlaps, distances and volumes for every case and region."""
    from medseg import task as tasks
    from medseg.evaluation import evaluate as evaluation
    from medseg.evaluation.score import DEFAULT
    from medseg.training.run_folder import RunFolder, read_split

    chosen = _known(convention or [DEFAULT])
    cases = None
    if held_out is not None:
        cases = [case.name for case in read_split(RunFolder(held_out)).held_out]
    with bar(counted=True) as progress:
        shown = progress.add_task("Scoring", total=None)
        scores = evaluation.side_by_side(
            tasks.read(task),
            reference,
            prediction,
            conventions=chosen,
            cases=cases,
            on_case=lambda _: progress.advance(shown),
        )
    for name, one in scores.items():
        if output is not None:
            one.write(output / name if len(scores) > 1 else output)
        show(one)


def _known(names: list[str]) -> list[str]:
    from medseg.evaluation import conventions

    unknown = [name for name in names if name not in conventions.names()]
    if unknown:
        raise UsageError(
            f"there is no convention {unknown[0]!r}",
            remedy=f"Choose one of {', '.join(conventions.names())}",
        )
    return names


def show(scores: "Scores") -> None:
    """Print the means by region, and beside them what a mean hides."""
    from rich.table import Table

    from medseg.evaluation.pair import Status

    columns = [column for column in scores.columns if column in SHOWN]
    kinds = (Status.MISSED, Status.FALSE_ALARM, Status.ABSENT)
    table = Table(title=f"{len(scores.cases)} cases, {scores.convention} convention")
    for heading in ("region", *columns, *(str(kind).replace("_", " ") for kind in kinds)):
        table.add_column(heading, justify="left" if heading == "region" else "right")
    for region in scores.regions:
        means = [f"{scores.region_mean(column, region):.4f}" for column in columns]
        table.add_row(region, *means, *(str(scores.count(kind, region)) for kind in kinds))
    means = [f"{scores.mean(column):.4f}" for column in columns]
    table.add_row("mean", *means, *(str(scores.count(kind)) for kind in kinds), style="bold")
    out.print(table)
