"""`medseg report`: a page to look at for each case, and one over a cohort."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from medseg.cli.console import bar, out
from medseg.cli.output import require_folder, require_page
from medseg.errors import UsageError

if TYPE_CHECKING:
    from medseg.evaluation.evaluate import References
    from medseg.report.results import Results


def report(
    place: Annotated[
        Path, typer.Argument(help="A folder that predict -o wrote, or one label map.")
    ],
    scan: Annotated[
        list[Path] | None,
        typer.Option(help="The label map's scan, once per channel; or where scans lie now."),
    ] = None,
    task: Annotated[
        str | None, typer.Option(help="What the labels mean, where no report.json tells.")
    ] = None,
    reference: Annotated[
        Path | None,
        typer.Option(help="Label maps to compare with: a folder, a data set, or one file."),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(help="Folder of the data set's own files, such as ACDC's Info.cfg."),
    ] = None,
    model: Annotated[
        Path | None, typer.Option(help="The model of a label map that no report.json tells of.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", help="Folder, or HTML file for one label map; else beside them."
        ),
    ] = None,
) -> None:
    """Write pages for a browser: slices, viewer, surface, volumes, quality, comparison.

    Each page is one file that needs no network. For research use only.
    """
    from medseg import formats, model_list
    from medseg import task as tasks
    from medseg.report import results, write

    chosen = tasks.read(task) if task is not None else None
    if place.is_dir():
        if model is not None:
            raise UsageError(
                "--model is of use for one label map alone",
                remedy="Leave it out; report.json tells which model it was",
            )
        require_folder(output)
        found = results.of_folder(place, task=chosen, scans=scan or ())
        known = _known(reference, found)
        folder = output or place / "report"
        with bar(counted=True) as progress:
            shown = progress.add_task("Reporting", total=len(found.found))
            index = write.cohort(
                folder,
                found,
                known=known,
                data=data,
                on_case=lambda _: progress.advance(shown),
            )
        out.print(str(index))
        return
    require_page(output)
    bundle = model_list.choose(model) if model is not None else None
    found = results.of_file(place, task=chosen, scans=scan or (), bundle=bundle)
    path = output or place.with_name(f"{formats.stem(place)}.html")
    write.one(
        path,
        found,
        known=_known(reference, found),
        data=data,
        experience=bundle.experience if bundle else None,
    )
    out.print(str(path))


def _known(reference: Path | None, found: "Results") -> "References | None":
    """Return the references of a folder or data set, or the one file of one case."""
    from medseg.evaluation import evaluate
    from medseg.evaluation.evaluate import References

    if reference is None:
        return None
    if reference.is_dir():
        return evaluate.references(found.task, reference)
    if len(found.found) > 1:
        raise UsageError(
            f"{reference} is one file, but there are {len(found.found)} cases",
            remedy="Give the folder of their references",
        )
    paths = {found.found[0].case: reference}
    return References(found.task, paths, {}, reference.parent, is_data_set=False)
