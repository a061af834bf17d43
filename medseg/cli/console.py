"""What all verbs say to the terminal: progress on standard error, results on standard output."""

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)

if TYPE_CHECKING:
    from medseg.evaluation.text_table import TextTable

# Paths may hold brackets and colons, which are no markup.
out: Final = Console(soft_wrap=True, highlight=False, markup=False, emoji=False)
err: Final = Console(soft_wrap=True, highlight=False, markup=False, emoji=False, stderr=True)


def bar(*, counted: bool) -> AbstractContextManager[Progress]:
    """Return a progress bar; `counted` shows how many of how many, else a percentage."""
    amount = MofNCompleteColumn() if counted else TaskProgressColumn()
    columns = (TextColumn("{task.description}"), BarColumn(), amount, TimeRemainingColumn())
    return Progress(*columns, console=err, transient=True)


def show(table: "TextTable") -> None:
    """Print a table, its words to the left and its numbers to the right."""
    from rich.table import Table

    shown = Table(title=table.title)
    for place, heading in enumerate(table.headings):
        shown.add_column(heading, justify="left" if place < table.words else "right")
    for row in table.rows:
        shown.add_row(*row)
    out.print(shown)
