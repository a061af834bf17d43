"""`medseg check`: what a folder of data is, and what is wrong with it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from medseg.cli import recognised
from medseg.cli.console import bar, out
from medseg.cli.output import require_folder

if TYPE_CHECKING:
    from medseg.data.folds import Split
    from medseg.data.matching import Matched
    from medseg.survey.survey import Survey


def check(
    data: Annotated[Path, typer.Argument(help="The data as downloaded, or a CSV list.")],
    task: Annotated[
        str | None, typer.Option(help="A name or a YAML file; else what fits the data.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Folder for check.json, thumbnails.png.")
    ] = None,
    split: Annotated[
        str | None, typer.Option(help="Published split, or folds; else the data set's usual one.")
    ] = None,
    fold: Annotated[int, typer.Option(help="Which part of the split is held out.")] = 0,
    numbering: Annotated[
        str | None, typer.Option(help="What label values mean where copies differ: cascade, ...")
    ] = None,
) -> None:
    """Say what DATA are and what is wrong with them; exit code 1 if training would go wrong."""
    from medseg.survey import files
    from medseg.survey.survey import look

    require_folder(output)
    matched, parts = _found(data, task, numbering, split, fold)
    with bar(counted=True) as progress:
        shown = progress.add_task("Checking", total=len(parts.cases))
        survey = look(matched, parts, on_case=lambda _: progress.advance(shown))
    _show(survey, matched, parts)
    if output is not None:
        files.write(survey, output)
        out.print(f"{output / 'check.json'}, {output / 'thumbnails.png'}")
    if not survey.sound or not parts.held_out:
        raise typer.Exit(1)


def _found(
    data: Path, task: str | None, numbering: str | None, split: str | None, fold: int
) -> "tuple[Matched, Split]":
    """Return the data set and its split; what is wrong with either is a finding, too."""
    from medseg import task as tasks
    from medseg.data import folds, layouts
    from medseg.errors import MedsegError, UsageError

    asked = tasks.read(task) if task is not None else None
    try:
        matched = layouts.find(data, asked, numbering)
        cases = layouts.require_labelled(matched.data_set)
    except MedsegError as error:
        if isinstance(error, UsageError) or not data.exists():
            raise
        out.print(f"Error: all: {error}")
        raise typer.Exit(1) from error
    try:
        return matched, folds.choose(cases, matched.data_set.splits, name=split, fold=fold)
    except MedsegError as error:
        if split is not None or fold:
            raise
        out.print(f"Error: all: {error}")
        return matched, folds.Split(training=cases, held_out=(), name="none")


def _show(survey: "Survey", matched: "Matched", parts: "Split") -> None:
    from medseg.survey import summary

    recognised.tell(survey, out)
    others = [name for name in (*matched.data_set.splits, "folds") if name != parts.name]
    out.print(
        f"Split {parts.name}: {len(parts.training)} cases to train on,"
        + (f" {len(parts.watched)} to watch it with," if parts.watched else "")
        + f" {len(parts.held_out)} held out (others with --split: {', '.join(others) or 'none'})"
    )
    for text in summary.lines(survey):
        out.print(text)
    verdict = "Training can begin" if survey.sound else "Training would go wrong"
    verdict = verdict if parts.held_out else "Training would go wrong"
    out.print(f"{verdict}: {len(survey.cases)} cases, findings: {len(survey.findings)}")
