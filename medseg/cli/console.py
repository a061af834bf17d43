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

_WIDEST: Final = 1_000  # characters


def bar(*, counted: bool) -> AbstractContextManager[Progress]:
    """Return a progress bar; `counted` shows how many of how many, else a percentage."""
    amount = MofNCompleteColumn() if counted else TaskProgressColumn()
    columns = (TextColumn("{task.description}"), BarColumn(), amount, TimeRemainingColumn())
    return Progress(*columns, console=err, transient=True)


def show(table: "TextTable") -> None:
    """Print a table, its words to the left and its numbers to the right.

    A terminal folds what does not fit; a file or pipe gets the whole width.
    """
    from rich.measure import Measurement
    from rich.table import Table

    shown = Table(title=table.title)
    for place, heading in enumerate(table.headings):
        if place < table.words:
            shown.add_column(heading, no_wrap=True)
        else:
            shown.add_column(heading, justify="right", overflow="fold")
    for row in table.rows:
        shown.add_row(*row)
    if out.is_terminal:
        out.print(shown)
    else:
        width = Measurement.get(out, out.options.update(max_width=_WIDEST), shown).maximum
        Console(file=out.file, width=width, highlight=False, markup=False).print(shown)
