"""What all verbs say to the terminal: progress on standard error, results on standard output."""

from contextlib import AbstractContextManager
from typing import Final

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)

# Paths may hold brackets and colons, which are no markup.
out: Final = Console(soft_wrap=True, highlight=False, markup=False, emoji=False)
err: Final = Console(soft_wrap=True, highlight=False, markup=False, emoji=False, stderr=True)


def bar(*, counted: bool) -> AbstractContextManager[Progress]:
    """Return a progress bar; `counted` shows how many of how many, else a percentage."""
    amount = MofNCompleteColumn() if counted else TaskProgressColumn()
    columns = (TextColumn("{task.description}"), BarColumn(), amount, TimeRemainingColumn())
    return Progress(*columns, console=err, transient=True)
