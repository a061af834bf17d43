"""`medseg tasks`: what can be segmented; `medseg tasks new DIR`: a task of one's own."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from medseg.cli.console import out
from medseg.errors import UsageError


def tasks(
    what: Annotated[
        Literal["new"] | None, typer.Argument(help="new: write a task for DATA, to fill in.")
    ] = None,
    data: Annotated[
        Path | None, typer.Argument(help="With new: folder of your data, or a CSV list.")
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="With new: of the task; else that of the folder.")
    ] = None,
    output: Annotated[
        Path, typer.Option("-o", "--output", help="With new: folder for the two files.")
    ] = Path(),
) -> None:
    """List the tasks that come with medseg, or look at DATA and write one of your own.

    'medseg tasks new DATA' writes a task (YAML) and a data card (Markdown) to fill in.
    """
    if what is None:
        _list_all()
    elif data is None:
        raise UsageError("DATA is missing", remedy="Name the folder: medseg tasks new DATA")
    else:
        _write(data, name, output)


def _list_all() -> None:
    from rich.table import Table

    from medseg import task as task_files

    table = Table("task", "what it is", "data", "channels", "regions")
    for name in task_files.names():
        task = task_files.read(name)
        channels, regions = ", ".join(task.channels), ", ".join(task.region_names)
        table.add_row(name, task.title, task.layout, channels, regions)
    out.print(table)


def _write(data: Path, name: str | None, output: Path) -> None:
    from medseg import files
    from medseg.data import drafts, layouts

    found = layouts.recognise(data)
    if found is None:
        raise UsageError(
            f"{data} lies in no form that medseg knows",
            remedy="Put images and labels of one name into two folders, images and labels,"
            " or name them in a CSV list with the columns image and label",
        )
    task = drafts.draft(found, name)
    texts = {".yaml": drafts.yaml_text(task, found), ".md": drafts.card_text(task)}
    paths = {ending: output / f"{task.name}{ending}" for ending in texts}
    taken = [path for path in paths.values() if path.exists()]
    if taken:
        raise UsageError("is there already", where=taken[0], remedy="Choose another --name")
    for ending, path in paths.items():
        files.write_text(path, texts[ending])
        out.print(str(path))
    out.print(f"Recognised: {found.edition}, {len(found.labelled)} labelled cases")
    out.print(f"Fill in both, then: medseg check {data} --task {paths['.yaml']}")
