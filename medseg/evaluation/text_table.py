"""Tables to be read: what the terminal shows and what Markdown holds is one and the same."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class TextTable:
    """A table to be read.

    Attributes:
        title: What it shows.
        headings: One for each column.
        rows: The cells.
        words: How many columns hold words; the numbers stand to their right.
    """

    title: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    words: int

    def markdown(self) -> str:
        """Return the table as Markdown, without its title."""
        return "\n".join(_lines(self))


def escaped(text: str) -> str:
    """Return `text` so that Markdown takes nothing in it for the border of a cell."""
    return text.replace("\\", "\\\\").replace("|", "\\|")


def number(value: float) -> str:
    """Return a number with four decimals, or a dash for NaN."""
    return "-" if math.isnan(value) else f"{value:.4f}"


def signed(value: float) -> str:
    """Return a number with its sign and four decimals, or a dash for NaN."""
    return "-" if math.isnan(value) else f"{value:+.4f}"


def _lines(table: TextTable) -> Iterator[str]:
    yield _line(table.headings)
    yield _line(["---" if n < table.words else "---:" for n in range(len(table.headings))])
    yield from map(_line, table.rows)


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(map(escaped, cells))} |"
