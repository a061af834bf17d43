"""`medseg evaluate`: scores of predictions against references."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from medseg.cli.console import bar, out, show
from medseg.cli.output import require_folder
from medseg.errors import UsageError

if TYPE_CHECKING:
    from medseg.evaluation.clinical_numbers import ClinicalNumbers
    from medseg.evaluation.evaluate import References
    from medseg.evaluation.score import Scores


def evaluate(
    prediction: Annotated[Path, typer.Option(help="Folder of predicted label maps.")],
    task: Annotated[
        str | None,
        typer.Option(help="What the labels mean: a name or a YAML file; else that of --held-out."),
    ] = None,
    reference: Annotated[
        Path | None,
        typer.Option(help="Folder of reference label maps, or the data set; else of --held-out."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="Folder for scores.csv, scores.md, summary.json, ..."),
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
    resample: Annotated[
        bool,
        typer.Option(
            "--resample", help="Bring predictions on another grid onto their reference's (nearest)."
        ),
    ] = False,
    data: Annotated[
        Path | None,
        typer.Option(help="Folder of the data set's own files, such as ACDC's Info.cfg."),
    ] = None,
    pictures: Annotated[
        bool, typer.Option("--pictures", help="Draw box plots, Bland-Altman plots, worst cases.")
    ] = False,
    images: Annotated[
        Path | None, typer.Option(help="With --pictures: draw on the scans in this folder.")
    ] = None,
) -> None:
    """Score predictions: overlaps, distances and volumes for every case and region."""
    from medseg.evaluation import clinical_numbers, score_files
    from medseg.evaluation import evaluate as evaluation
    from medseg.evaluation import pictures as drawings
    from medseg.evaluation.score import DEFAULT

    _check(output, images, pictures=pictures)
    chosen = _known(convention or [DEFAULT])
    known, cases = _references(task, reference, held_out), _held_out(held_out)
    own_files = data
    if known.is_data_set and clinical_numbers.needs_data(known.task):
        own_files = data or known.place
    places = drawings.Places(known, prediction, images, resample)
    names = evaluation.cases_of(known, cases)
    clinical_numbers.require_data(known.task, names, own_files)
    drawings.require_scans(places, names)
    with bar(counted=True) as progress:
        shown = progress.add_task("Scoring", total=len(names))
        scores = evaluation.side_by_side(
            known,
            prediction,
            conventions=chosen,
            cases=cases,
            resample=resample,
            on_case=lambda _: progress.advance(shown),
        )
    numbers = clinical_numbers.measure(scores[chosen[0]], known.task, own_files)
    if output is not None:
        score_files.write_all(scores, numbers, output)
    _show(list(scores.values()), numbers)
    if output is not None and pictures:
        for name, one in scores.items():
            drawings.draw(one, places, score_files.folder_of(name, scores, output))
        drawings.draw_agreement(numbers, output)


def _check(output: Path | None, images: Path | None, *, pictures: bool) -> None:
    require_folder(output)
    if pictures and output is None:
        raise UsageError("--pictures needs a place for them", remedy="Name a folder with -o")
    if images is not None and not pictures:
        raise UsageError("--images is of use for pictures alone", remedy="Add --pictures")


def _references(task: str | None, reference: Path | None, run: Path | None) -> "References":
    from medseg import task as tasks
    from medseg.evaluation import evaluate as evaluation

    if run is not None and (task is None or reference is None):
        from medseg.training.run_folder import RunFolder, read_request, read_split

        folder = RunFolder(run)
        cases = read_split(folder).held_out
        own = tasks.read(folder.task) if task is None else tasks.read(task)
        if reference is not None:
            return evaluation.references(own, reference)
        return evaluation.of_cases(cases, own, Path(read_request(folder).data))
    if task is None or reference is None:
        raise UsageError(
            "--task and --reference are missing",
            remedy="Name both, or a training run with --held-out, which knows its own",
        )
    return evaluation.references(tasks.read(task), reference)


def _held_out(run: Path | None) -> list[str] | None:
    if run is None:
        return None
    from medseg.training.run_folder import RunFolder, read_split

    return [case.name for case in read_split(RunFolder(run)).held_out]


def _known(names: list[str]) -> list[str]:
    from medseg.evaluation import conventions

    unknown = [name for name in names if name not in conventions.names()]
    if unknown:
        raise UsageError(
            f"there is no convention {unknown[0]!r}",
            remedy=f"Choose one of {', '.join(conventions.names())}",
        )
    return list(dict.fromkeys(names))


def _show(scores: list["Scores"], numbers: "ClinicalNumbers") -> None:
    """Print the means of each convention, then the clinical numbers, which are the same for all."""
    from medseg.evaluation import score_files

    for one in scores:
        show(score_files.means(one))
    if numbers.rows:
        brief = score_files.agreements_in_brief if out.is_terminal else score_files.agreements
        show(brief(numbers))
    for note in score_files.notes(scores, numbers):
        out.print(note)
