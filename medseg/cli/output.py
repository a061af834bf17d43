"""Where results go: a folder, and not what looks like a file."""

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
