"""Where results go: a folder, and not what looks like a file; and not over what is read."""

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from medseg.errors import UsageError

_FILES: Final = frozenset(
    {
        *(".csv", ".json", ".md", ".txt", ".tsv", ".xlsx", ".html", ".yaml"),
        *(".png", ".jpg", ".jpeg", ".svg", ".pdf", ".gz", ".nii", ".nrrd"),
    }
)


def require_folder(output: Path | None) -> None:
    """Refuse a folder that is called as a file is, such as `scores.csv`; None is no folder.

    Raises:
        UsageError: Its name ends as a file's, and there is no such folder.
    """
    if output is not None and output.suffix.lower() in _FILES and not output.is_dir():
        raise UsageError(
            f"{output} would be a folder, but is called as a file is",
            remedy=f"Name a folder, such as -o {output.with_suffix('')}; several files go into it",
        )


def require_page(output: Path | None) -> None:
    """Refuse a page that is called as something else is, such as a label map; None is no page.

    Raises:
        UsageError: Its name does not end in `.html`, or there is such a folder.
    """
    if output is not None and (output.suffix.lower() not in {".html", ".htm"} or output.is_dir()):
        raise UsageError(
            f"{output} is no name for the page of one label map",
            remedy=f"Name a file that ends in .html, such as -o {output.name}.html",
        )


def require_no_source(target: Path, sources: Iterable[Path | None]) -> None:
    """Refuse to write over a file that is read, or over one in a folder that is read.

    Args:
        target: Where a result goes.
        sources: What is read; None is nothing.

    Raises:
        UsageError: It is one of them, by whatever name.
    """
    if not target.exists():
        return
    for source in sources:
        if source is None or not source.exists():
            continue
        if target.samefile(source) or source.resolve() in target.resolve().parents:
            raise UsageError(
                "is read and would be written over itself",
                where=target,
                remedy="Name another place with -o",
            )
