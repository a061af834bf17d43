"""A bundle in one zip file, to hand on: every byte of it is verified before anything is used.

The entries are those of a bundle's folder, uncompressed, each under the SHA-256 that the manifest
has for it. The archive's comment is the SHA-256 of all bytes before it, so that a change in what
zip keeps of an entry, such as its time, is noticed too. Hashes tell damage and careless changes;
they do not tell who made a model. Nothing is unpickled: a bundle holds text and safetensors.
"""

import contextlib
import hashlib
import json
import shutil
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from medseg import bundle as bundles
from medseg import files
from medseg.bundle import FILES, MANIFEST, Bundle
from medseg.errors import ModelError

SUFFIX: Final = ".zip"

_MARK: Final = b"sha256:"
_COMMENT_BYTES: Final = len(_MARK) + 64
_CHUNK: Final = 1 << 20
_LONGEST_TEXT: Final = 16 << 20
_PICKLES: Final = (".pkl", ".pickle", ".pt", ".pth", ".ckpt", ".bin", ".joblib", ".npy", ".npz")
_PICKLE_STARTS: Final = (b"\x80", b"PK\x03\x04")
_DAY: Final = (1980, 1, 1, 0, 0, 0)


def export(bundle: Bundle, path: Path) -> None:
    """Write `bundle` into the file `path`, whole or not at all; equal bundles give equal bytes.

    Raises:
        OutputError: It cannot be written.
    """
    with files.replacing(path) as temporary:
        with zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
            for name in (MANIFEST, *FILES):
                source = bundle.folder / name
                if source.is_file():
                    entry = zipfile.ZipInfo(name, _DAY)
                    entry.external_attr = 0o644 << 16
                    entry.file_size = source.stat().st_size
                    with source.open("rb") as stream, archive.open(entry, "w") as target:
                        shutil.copyfileobj(stream, target, _CHUNK)
            archive.comment = bytes(_COMMENT_BYTES)
        with temporary.open("r+b") as file:
            before = temporary.stat().st_size - _COMMENT_BYTES
            digest = _digest(file.read, before)
            file.seek(before)
            file.write(_MARK + digest.encode())


def verify(path: Path) -> None:
    """Check every byte of the bundle in the file `path`, without unpacking it.

    Raises:
        ModelError: It is damaged, was altered, or is no bundle that `export` wrote.
    """
    with _opened(path) as archive:
        _check(archive, path)


def unpack(path: Path, folder: Path) -> Bundle:
    """Verify the bundle in the file `path` and put it into `folder`, whole or not at all.

    Raises:
        ModelError: It is damaged, was altered, or is no bundle that `export` wrote.
        OutputError: It cannot be written.
    """
    fresh = folder.with_name(f".partial-{folder.name}")
    with _opened(path) as archive:
        names = _check(archive, path)
        with files.explained(folder):
            shutil.rmtree(fresh, ignore_errors=True)
            files.make_folder(fresh)
            try:
                for name in names:  # every one is a name of `FILES`: none leads out of the folder
                    with archive.open(name) as source, (fresh / name).open("wb") as target:
                        shutil.copyfileobj(source, target, _CHUNK)
                bundles.read(fresh)
                shutil.rmtree(folder, ignore_errors=True)
                fresh.rename(folder)
            finally:
                shutil.rmtree(fresh, ignore_errors=True)
    return bundles.read(folder)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    if not path.is_file():
        raise ModelError("there is no such file", where=path, remedy="Check the path")
    try:
        _require_untouched(path)
        with zipfile.ZipFile(path) as archive:
            yield archive
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError) as error:
        raise _altered(path) from error


def _require_untouched(path: Path) -> None:
    before = path.stat().st_size - _COMMENT_BYTES
    with path.open("rb") as file:
        file.seek(max(0, before))
        comment = file.read()
        if before < 0 or not comment.startswith(_MARK):
            is_zip = before >= 0 and zipfile.is_zipfile(path)
            raise ModelError(
                "was altered, or not made by 'medseg models export'" if is_zip else "is no bundle",
                where=path,
                remedy="Copy it anew, or make it with 'medseg models export RUN FILE'",
            )
        file.seek(0)
        if comment[len(_MARK) :] != _digest(file.read, before).encode():
            raise _altered(path)


def _digest(read: Callable[[int], bytes], length: int) -> str:
    digest = hashlib.sha256()
    while length > 0:
        part = read(min(_CHUNK, length))
        if not part:
            break  # shorter than it says: the hash will differ
        digest.update(part)
        length -= len(part)
    return digest.hexdigest()


def _check(archive: zipfile.ZipFile, path: Path) -> list[str]:
    """Return the names of the entries when every one is what it should be."""
    entries = archive.infolist()
    for entry in entries:
        _require_known(entry, path)
    names = [entry.filename for entry in entries]
    if len(set(names)) < len(names) or MANIFEST not in names:
        raise _altered(path)
    hashes = _hashes(archive, path)
    if set(names) - {MANIFEST} != set(hashes):
        raise _altered(path)
    for name, expected in hashes.items():
        with archive.open(name) as stream:
            start = stream.read(9)
        if _is_pickle(start):
            raise _would_be_unpickled(name, path)
        with archive.open(name) as stream:
            if _digest(stream.read, archive.getinfo(name).file_size) != expected:
                raise _altered(path, name)
    return names


def _is_pickle(start: bytes) -> bool:
    """Tell a file that would have to be unpickled by its first nine bytes.

    A safetensors file begins with the length of its header in eight bytes, which may happen to look
    like a pickle, and goes on with the header's brace.
    """
    return start.startswith(_PICKLE_STARTS) and start[8:] != b"{"


def _require_known(entry: zipfile.ZipInfo, path: Path) -> None:
    name = entry.filename
    parts = name.replace("\\", "/").split("/")
    if name.startswith(("/", "\\")) or ".." in parts or ":" in name:
        raise ModelError(
            f"has an entry whose name leaves its folder: {name!r}",
            where=path,
            remedy="Do not use it; get the model from someone you trust",
        )
    if name.lower().endswith(_PICKLES):
        raise _would_be_unpickled(name, path)
    if name not in (MANIFEST, *FILES):
        raise ModelError(
            f"has an entry that no bundle has: {name!r}",
            where=path,
            remedy="Make it with 'medseg models export RUN FILE'",
        )
    if entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1:
        raise _altered(path)


def _hashes(archive: zipfile.ZipFile, path: Path) -> dict[str, str]:
    if archive.getinfo(MANIFEST).file_size > _LONGEST_TEXT:
        raise _altered(path)
    try:
        return dict(json.loads(archive.read(MANIFEST))["sha256"])
    except (ValueError, KeyError, TypeError) as error:
        raise _altered(path, MANIFEST) from error


def _would_be_unpickled(name: str, path: Path) -> ModelError:
    return ModelError(
        f"holds {name!r}, which would have to be unpickled and could run any program",
        where=path,
        remedy="Use a model with safetensors weights, as 'medseg models export' writes",
    )


def _altered(path: Path, name: str | None = None) -> ModelError:
    place = f" ({name})" if name else ""
    return ModelError(
        f"is damaged or was altered since it was made{place}",
        where=path,
        remedy="Copy it anew from where it came from",
    )
