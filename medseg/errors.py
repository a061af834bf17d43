"""What can go wrong for a user: each error says what is wrong, where, and what to do about it.

| Exit code | Class | Meaning |
|---|---|---|
| 0 | | done |
| 1 | | an error in medseg itself (`--debug` shows where); `medseg check`: data are faulty |
| 2 | `UsageError` | the command or a setting is wrong |
| 3 | `ImageError` | an image cannot be read, or cannot be used |
| 4 | `DataError` | a data set is incomplete or contradicts its task |
| 5 | `ModelError` | a model is missing, incomplete or altered |
| 6 | `OutputError` | a result cannot be written |
| 7 | `CasesFailedError` | some cases failed, the others are done |
| 130 | | stopped with Ctrl-C |
"""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Final

_MOST_LISTED: Final = 20


class MedsegError(Exception):
    """An error that a user can mend.

    Args:
        what: What is wrong, without a full stop.
        remedy: What to do about it, as an instruction.
        where: The file, folder or case it is about.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, what: str, *, remedy: str, where: Path | str | None = None) -> None:
        self.what = what
        self.remedy = remedy
        self.where = where
        super().__init__(str(self))

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where is not None else ""
        return f"{place}{self.what}. {self.remedy}."

    def __reduce__(self) -> tuple[object, ...]:
        """Keep keyword-only arguments when a worker process sends the error back."""
        return (_rebuild, (type(self), self.what, self.remedy, self.where))


def _rebuild(
    kind: type[MedsegError], what: str, remedy: str, where: Path | str | None
) -> MedsegError:
    return kind(what, remedy=remedy, where=where)


def listed(things: Sequence[str], *, separator: str = ", ") -> str:
    """Return `things` for a message: all of them, or the first twenty and an ellipsis."""
    shown = separator.join(things[:_MOST_LISTED])
    return shown + f"{separator}..." * (len(things) > _MOST_LISTED)


class UsageError(MedsegError):
    """The command or a setting is wrong."""

    exit_code = 2


class ImageError(MedsegError):
    """An image cannot be read, or cannot be used."""

    exit_code = 3


class DataError(MedsegError):
    """A data set is incomplete or contradicts its task."""

    exit_code = 4


class ModelError(MedsegError):
    """A model is missing, incomplete or altered."""

    exit_code = 5


class OutputError(MedsegError):
    """A result cannot be written."""

    exit_code = 6


class CasesFailedError(MedsegError):
    """Some cases failed; the others are done."""

    exit_code = 7
