"""Writing files so that nothing is ever left half-written."""

import contextlib
import errno
import hashlib
import os
import re
import secrets
from collections.abc import Iterator
from pathlib import Path

from medseg.errors import OutputError

_LEFTOVER = re.compile(r"\.[0-9a-f]{8}\.partial-(?P<name>.+)", re.DOTALL)
_REMEDIES = {
    errno.ENOSPC: "Free some space on that disk, or write to another",
    errno.EDQUOT: "Your disk quota is used up; free some space, or write elsewhere",
    errno.EACCES: "Choose a folder you may write to",
    errno.EPERM: "Choose a folder you may write to",
    errno.EROFS: "That disk is read-only; choose another",
    errno.ENOTDIR: "A file stands where a folder is needed; choose another place",
    errno.EEXIST: "A file stands where a folder is needed; choose another place",
    errno.EISDIR: "A folder stands where the file should go; choose another place",
    errno.ENAMETOOLONG: "Choose a shorter name",
}


@contextlib.contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn the system's refusals to write `path` into errors that say what to do.

    Raises:
        OutputError: The disk is full, or the place is not writable.
    """
    try:
        yield
    except OSError as error:
        remedy = _REMEDIES.get(error.errno or 0, "Check that the disk is there and writable")
        reason = (error.strerror or str(error)).lower()
        raise OutputError(f"cannot be written: {reason}", where=path, remedy=remedy) from error


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary name beside `path`, and rename it to `path` if the block succeeds.

    Missing folders are made. If the block fails the temporary file is removed and `path` is as
    it was before.

    Raises:
        OutputError: The disk is full, or the place is not writable.
    """
    temporary = path.with_name(f".{secrets.token_hex(4)}.partial-{path.name}")
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            os.replace(temporary, path)  # noqa: PTH105 - the atomic one of the two, by name
        finally:
            temporary.unlink(missing_ok=True)


def remove_leftovers(*paths: Path) -> None:
    """Remove what `replacing` could not, because the process that wrote `paths` was killed.

    Of a folder, these are the leftovers in it.
    """
    by_folder: dict[Path, set[str]] = {}
    for path in paths:
        by_folder.setdefault(path.parent, set()).add(path.name)
    for folder, names in by_folder.items():
        _remove_leftovers(folder, names)
    for path in paths:
        if path.is_dir():
            _remove_leftovers(path, None)


def _remove_leftovers(folder: Path, names: set[str] | None) -> None:
    """Remove those of the files `names` of a folder; None: of all files."""
    if not folder.is_dir():
        return
    for path in folder.iterdir():
        match = _LEFTOVER.fullmatch(path.name)
        if match and (names is None or match["name"] in names):
            path.unlink(missing_ok=True)


def write_bytes(path: Path, content: bytes) -> None:
    """Write `content` to `path` whole, or not at all.

    Raises:
        OutputError: The disk is full, or the place is not writable.
    """
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: Path, content: str) -> None:
    """Write `content` to `path` as UTF-8, whole or not at all.

    Raises:
        OutputError: The disk is full, or the place is not writable.
    """
    write_bytes(path, content.encode("utf-8"))


def write_verified(path: Path, content: bytes) -> None:
    """Write `content` to `path` whole or not at all, and read it back.

    Raises:
        OutputError: The disk is full, the place is not writable, or what was read back differs.
    """
    with replacing(path) as temporary:
        temporary.write_bytes(content)
        if temporary.read_bytes() != content:
            raise altered(path)


def altered(path: Path) -> OutputError:
    """Return the error that says that `path` reads back differently from what was written."""
    return OutputError(
        "what was written differs from what should have been",
        where=path,
        remedy="Check the disk; if it is sound, report this as an error in medseg",
    )


def make_folder(path: Path) -> None:
    """Make the folder `path`, with its parents, and check that files can be made in it.

    Raises:
        OutputError: It cannot be made or written to.
    """
    with explained(path):
        path.mkdir(parents=True, exist_ok=True)
        probe = path / f".{secrets.token_hex(4)}.partial-probe"
        probe.touch()
        probe.unlink()


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
