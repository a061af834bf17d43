"""A zip file with DICOM slices, unpacked for as long as they are read."""

import contextlib
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from medseg.errors import ImageError


@contextlib.contextmanager
def unpacked(path: Path) -> Iterator[Path]:
    """Give a temporary folder with the files of the zip file `path`, in one level.

    A file keeps its own name behind a number; the folders in the archive are ignored, so that no
    entry can leave the folder. Errors that name a file in it come out naming `path`.

    Raises:
        ImageError: It is damaged or encrypted, or there is no room to unpack it.
    """
    with tempfile.TemporaryDirectory(prefix="medseg-") as name:
        folder = Path(name)
        try:
            _unpack(path, folder)
            yield folder
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
            raise ImageError(
                "is a damaged zip file", where=path, remedy="Copy or pack it anew"
            ) from error
        except ImageError as error:
            inside = Path(str(error.where))
            if not inside.is_relative_to(folder):
                raise
            within = "" if inside == folder else f" ({inside.name.partition('_')[2]})"
            raise ImageError(error.what, where=f"{path}{within}", remedy=error.remedy) from error


def _unpack(path: Path, folder: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        entries = [entry for entry in archive.infolist() if not entry.is_dir()]
        if any(entry.flag_bits & 1 for entry in entries):
            raise ImageError("is encrypted", where=path, remedy="Unpack it with its password first")
        needed = sum(entry.file_size for entry in entries)
        if needed > shutil.disk_usage(folder).free:
            raise ImageError(
                f"needs {needed / 1e9:.1f} GB unpacked, more than is free in {folder.parent}",
                where=path,
                remedy="Free some space, or set TMPDIR to a larger disk",
            )
        for number, entry in enumerate(entries):
            inner = PurePosixPath(entry.filename.replace("\\", "/")).name
            if inner.startswith("."):
                continue
            with archive.open(entry) as source, (folder / f"{number:06d}_{inner}").open("wb") as to:
                shutil.copyfileobj(source, to)
