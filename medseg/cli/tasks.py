"""`medseg tasks`: what can be segmented."""

from medseg.cli.console import out


def tasks() -> None:
    """List the tasks that come with medseg."""
    from rich.table import Table

    from medseg import task as task_files

    table = Table("task", "what it is", "channels", "regions")
    for name in task_files.names():
        task = task_files.read(name)
        table.add_row(name, task.title, ", ".join(task.channels), ", ".join(task.region_names))
    out.print(table)
