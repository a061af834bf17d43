"""`medseg compare`: whether one model is better than another."""

from pathlib import Path
from typing import Annotated

import typer

from medseg.cli.console import out, show
from medseg.cli.output import require_folder


def compare(
    scores: Annotated[
        list[Path],
        typer.Argument(help="Folders that evaluate -o wrote, or scores.csv files: two or more."),
    ],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Folder for comparison.json, .md, .png.")
    ] = None,
    metric: Annotated[
        list[str] | None,
        typer.Option(
            help="Compare this metric only, such as dice; repeat for several. The fewer, the less"
            " is corrected for."
        ),
    ] = None,
) -> None:
    """Compare models that were scored on the same cases: differences, tests, ranks."""
    from medseg.evaluation import compare as comparisons
    from medseg.evaluation import comparison_files

    require_folder(output)
    comparison = comparisons.compare(comparisons.read(scores, wanted=metric or ()))
    if output is not None:
        comparison_files.write(comparison, output)
    for table in comparison_files.tables(comparison):
        show(table)
    for note in comparison_files.notes(comparison):
        out.print(note)
