"""`report.json`: what became of every case of a cohort; it is also what a second run goes on from.

It names files as the user named them and holds numbers; no field of an image's header enters it.
"""

import contextlib
import errno
import json
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Final, Literal

import filelock

from medseg import files, formats
from medseg import recipe as recipes
from medseg import task as tasks
from medseg.data import results
from medseg.errors import UsageError
from medseg.model import Model
from medseg.version import __version__

FORMAT: Final = 1
NAME: Final = results.REPORT
_NO_LOCKS: Final = (errno.ENOLCK, errno.ENOTSUP)
"""What systems say whose disk is far away and keeps no locks."""
_DETACHED: Final = (".hdr", ".img", ".hdr.gz", ".img.gz", ".mhd", ".nhdr")
"""Ends of files whose header or voxels may lie beside them."""


@dataclass(frozen=True)
class Entry:
    """One case.

    Attributes:
        case: Its name.
        input: Its files or folder.
        output: Where the segmentation is, or would be.
        status: Whether it was segmented.
        model: Hash of the model.
        inputs_state: Size and time of change of each input, by which a changed scan is known.
        settings: What else decides on the result, as it was asked for.
        label_values: What stands for each label in the output.
        channel_order: Places of the task's channels among those of the input; None if the same.
        outputs: All files that were written, those in a folder one by one.
        precisions: What each network computed in (`used`), and why (`reason`).
        error: Why it failed.
        seconds: How long it took, reading and writing included.
        peak_memory_mb: Of the process meanwhile, and of the GPU if one was used.
        volumes_ml: By label.
        warnings: What is unusual about the scan.
        quality: The verdict, its reasons, and what was measured of each label.
    """

    case: str
    input: list[str]
    output: str
    status: Literal["done", "failed"]
    model: str
    inputs_state: list[list[int]]
    settings: dict[str, Any] = field(default_factory=dict)
    label_values: dict[str, int] = field(default_factory=dict)
    channel_order: list[int] | None = None
    outputs: list[str] = field(default_factory=list)
    precisions: list[dict[str, str]] = field(default_factory=list)
    error: str | None = None
    seconds: float = 0.0
    peak_memory_mb: dict[str, float] = field(default_factory=dict)
    volumes_ml: dict[str, float] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    quality: dict[str, Any] | None = None


class Report:
    """The entries of a cohort; the file is whole after every one.

    Args:
        path: The file, or None to keep no record.
        model: What is known of the model, as the file's head; see `described`.

    Raises:
        UsageError: `path` is there and is no report.
    """

    def __init__(self, path: Path | None, model: dict[str, str]) -> None:
        self.path = path
        self.model = model
        self.entries: dict[str, dict[str, Any]] = {}
        self._files: set[str] = set()
        self._writing = threading.Lock()
        self._take_up()

    def _take_up(self) -> None:
        """Go on from the file, if there is one."""
        if self.path is not None and self.path.exists():
            document = _read(self.path)
            self.entries = {entry["output"]: dict(entry) for entry in document["cases"]}
            self._files = set(map(str, document.get("files", ())))

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Keep other runs out of the folder meanwhile, and begin with what the last one recorded.

        A run that is killed keeps nobody out: the system forgets its lock.

        Raises:
            UsageError: Another run writes into the folder now.
            OutputError: The folder cannot be written to.
        """
        if self.path is None:
            yield
            return
        with files.explained(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
        with _locked(self.path):
            self._take_up()
            yield

    def announce(self, outputs: Iterable[Path]) -> None:
        """Name what will be written, so that what a killed run leaves is not taken for a scan.

        Raises:
            OutputError: The report cannot be written.
        """
        names = {path.name for path in outputs}
        with self._writing:
            if not names <= self._files:
                self._files |= names
                self._write()

    def record(self, entry: Entry) -> None:
        """Put an entry in the place of an older one of the same output, and write the file.

        It may be called from several threads.

        Raises:
            OutputError: It cannot be written.
        """
        with self._writing:
            self.entries[entry.output] = asdict(entry)
            self._write()

    def _write(self) -> None:
        if self.path is None:
            return
        document = {
            "format": FORMAT,
            "medseg": __version__,
            "model": self.model,
            "files": sorted(self._files),
            "cases": list(self.entries.values()),
        }
        files.write_text(self.path, json.dumps(document, indent=1, ensure_ascii=False) + "\n")

    def is_done(self, expected: Entry, outputs: Sequence[Path]) -> bool:
        """Tell whether the result that `expected` describes is there and needs no work.

        Model, inputs and settings must be the same as then, and all `outputs` be there, with every
        file that was written into those of them that are folders.
        """
        earlier = self.entries.get(expected.output)
        if earlier is None or earlier.get("status") != "done":
            return False
        same = asdict(expected)
        decisive = (
            *("model", "input", "inputs_state", "settings"),
            *("label_values", "channel_order"),
        )
        folders = {path.absolute() for path in outputs}
        inside = [path for path in map(Path, earlier.get("outputs", ())) if path.parent in folders]
        unchanged = all(earlier.get(key) == same[key] for key in decisive)
        return unchanged and all(path.exists() for path in (*outputs, *inside))

    def precisions_of(self, expected: Entry) -> list[dict[str, str]]:
        """Return what the same models computed in when they were asked the same; else nothing."""
        for entry in self.entries.values():
            told = entry.get("precisions")
            settings = entry.get("settings", {})
            same = [settings.get(key) == expected.settings[key] for key in ("models", "precision")]
            if told and all(same) and entry.get("status") == "done":
                return [dict(each) for each in told]
        return []


def described(bundle: Model) -> dict[str, str]:
    """Return what a reader of the file needs to know of a model: name, hash, task and plan.

    The task and the plan stand there whole, since their names alone may mean another one elsewhere.
    """
    return {
        "task": bundle.task.name,
        "network": bundle.plan.network.name,
        "hash": bundle.hash,
        "task_yaml": tasks.text(bundle.task),
        "plan_yaml": recipes.plan_text(bundle.plan),
    }


@dataclass(frozen=True)
class Document:
    """A report as it was read.

    Attributes:
        version: Of the medseg that wrote it.
        model: See `described`; older files lack the task and the plan.
        entries: The cases, in the order they were recorded.
    """

    version: str
    model: dict[str, str]
    entries: tuple[Entry, ...]


def read(path: Path) -> Document:
    """Read a report.

    Raises:
        UsageError: There is none at `path`, or it is damaged.
    """
    document = _read(path)
    known = {each.name for each in fields(Entry)}
    entries = {entry["output"]: entry for entry in document["cases"]}
    kept = [{key: entry[key] for key in entry.keys() & known} for entry in entries.values()]
    try:
        read = tuple(Entry(**entry) for entry in kept)
        return Document(str(document["medseg"]), dict(document["model"]), read)
    except (KeyError, TypeError, ValueError) as error:
        raise _no_report(path) from error


def state_of(paths: tuple[Path, ...]) -> list[list[int]]:
    """Return size and time of change of each path; zeros for one that is not there.

    Of a folder these are the sum and the latest of its files, since changing a slice leaves the
    folder as it was; so with a header whose voxels lie in a file beside it.
    """
    states = []
    for path in paths:
        found = [part.stat() for part in _parts(path)]
        size, latest = sum(s.st_size for s in found), max((s.st_mtime_ns for s in found), default=0)
        states.append([size, latest])
    return states


def _parts(path: Path) -> list[Path]:
    """Return the files that a path stands for."""
    if path.is_dir():
        return [part for part in path.iterdir() if part.is_file()]
    if not path.exists():
        return []
    if not path.name.lower().endswith(_DETACHED):
        return [path]
    stem = formats.stem(path)
    return [part for part in path.parent.iterdir() if part.name.startswith(f"{stem}.")]


def _read(path: Path) -> dict[str, Any]:
    try:
        document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if document["format"] != FORMAT:
            raise ValueError(f"there is no format {document['format']}")
        for entry in document["cases"]:
            Path(entry["output"])
        return document
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _no_report(path) from error


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the lock of a report; it lies beside it as a file, which is taken away at the end."""
    place = path.with_name(f".{path.name}.lock")
    lock = filelock.FileLock(place)
    with files.explained(path):
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout as error:
            raise UsageError(
                "another run of medseg writes into this folder now",
                where=path.parent,
                remedy="Wait until it has ended, or name another folder with -o",
            ) from error
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # Windows deletes no open file
            place.unlink()
        lock.release()


def _no_report(path: Path) -> UsageError:
    return UsageError(
        "is no report of medseg",
        where=path,
        remedy="Move it away, or name another folder with -o",
    )
