"""What all verbs say to the terminal: progress on standard error, results on standard output."""

from collections.abc import Iterable, Sequence
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
    from rich.table import Table

    from medseg.evaluation.text_table import TextTable

# Paths may hold brackets and colons, which are no markup.
out: Final = Console(soft_wrap=True, highlight=False, markup=False, emoji=False)
err: Final = Console(soft_wrap=True, highlight=False, markup=False, emoji=False, stderr=True)

_AROUND: Final = 3  # characters of blanks and border that a column takes beside its text
_WIDEST: Final = 1_000  # characters


def bar(*, counted: bool) -> AbstractContextManager[Progress]:
    """Return a progress bar; `counted` shows how many of how many, else a percentage."""
    amount = MofNCompleteColumn() if counted else TaskProgressColumn()
    columns = (TextColumn("{task.description}"), BarColumn(), amount, TimeRemainingColumn())
    return Progress(*columns, console=err, transient=True)


def show(table: "TextTable") -> None:
    """Print a table, its words to the left and its numbers to the right.

    In a terminal headings and cells break at blanks, and a table that is too wide even so becomes
    several: no number is ever broken. A file or pipe gets the whole width.
    """
    from rich.measure import Measurement

    if out.is_terminal:
        for columns, widths in _parts(table, out.width):
            out.print(_drawn(table, columns, widths), soft_wrap=False)
        return
    shown = _drawn(table, range(len(table.headings)), _widths(table))
    width = Measurement.get(out, out.options.update(max_width=_WIDEST), shown).maximum
    Console(file=out.file, width=width, highlight=False, markup=False).print(shown)


def _parts(table: "TextTable", width: int) -> list[tuple[Sequence[int], Sequence[int]]]:
    """Return the columns of each part of a table that fits, and the widths of all columns."""
    whole, broken = _widths(table), _widths(table, at_blanks=True)
    every = range(len(table.headings))
    for widths in (whole, [*whole[: table.words], *broken[table.words :]], broken):
        if _taken(every, widths) <= width:
            return [(every, widths)]
    words = list(every[: table.words])
    widths = (
        whole
        if _taken(words, whole) <= width // 2
        else [*broken[: table.words], *whole[table.words :]]
    )
    parts: list[list[int]] = [words.copy()]
    for column in every[table.words :]:
        if _taken([*parts[-1], column], widths) > width and len(parts[-1]) > len(words):
            parts.append(words.copy())
        parts[-1].append(column)
    return [(part, widths) for part in parts]


def _widths(table: "TextTable", *, at_blanks: bool = False) -> list[int]:
    """Return what each column needs in characters, or what its longest word needs."""
    columns = zip(table.headings, *table.rows, strict=True)
    split = str.split if at_blanks else str.splitlines
    return [
        max((len(part) for cell in column for part in split(cell)), default=1) for column in columns
    ]


def _taken(columns: Iterable[int], widths: Sequence[int]) -> int:
    return sum(widths[column] + _AROUND for column in columns) + 1


def _drawn(table: "TextTable", columns: Iterable[int], widths: Sequence[int]) -> "Table":
    from rich.table import Table

    shown, chosen = Table(title=table.title), list(columns)
    for column in chosen:
        shown.add_column(
            table.headings[column],
            justify="left" if column < table.words else "right",
            min_width=widths[column],
            max_width=widths[column],
        )
    for row in table.rows:
        shown.add_row(*(row[column] for column in chosen))
    return shown
