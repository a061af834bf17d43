"""`medseg tasks`: what can be segmented; `medseg tasks new`: a task of one's own."""

from pathlib import Path
from typing import Annotated

import typer

from medseg.cli.console import out
from medseg.errors import UsageError

tasks = typer.Typer(help="List the tasks, or write one of your own.")


@tasks.callback(invoke_without_command=True)
def list_all(context: typer.Context) -> None:
    """List the tasks that come with medseg; `medseg tasks new DIR` writes one of your own."""
    if context.invoked_subcommand is not None:
        return
    from rich.table import Table

    from medseg import task as task_files

    table = Table("task", "what it is", "data", "channels", "regions")
    for name in task_files.names():
        task = task_files.read(name)
        channels, regions = ", ".join(task.channels), ", ".join(task.region_names)
        table.add_row(name, task.title, task.layout, channels, regions)
    out.print(table)


@tasks.command()
def new(
    data: Annotated[Path, typer.Argument(help="Folder of your data, or a CSV list.")],
    name: Annotated[str | None, typer.Option(help="Of the task; else that of the folder.")] = None,
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Folder for the two files.")
    ] = Path(),
) -> None:
    """Look at DATA and write a task (YAML) and a data card (Markdown) to fill in."""
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
