"""A program that runs beside Slicer: its lines are fetched when there is time for them.

Only the standard library is used, so that it is the same in every version of Slicer.
"""

import contextlib
import os
import queue
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from typing import IO, NamedTuple, Optional, Protocol

_WINDOWS = os.name == "nt"


class Line(NamedTuple):
    """A line that a program printed, without its end; `is_error` tells the stream it came by."""

    text: str
    is_error: bool


class Process(Protocol):
    """A running program."""

    def lines(self) -> list[Line]:
        """Return what was printed since the last call."""

    def exit_code(self) -> Optional[int]:
        """Return how it ended; None while it runs."""

    def stop(self, *, at_once: bool = False) -> None:
        """Ask it to stop, or end it; it is no error if it has ended already."""


class Launcher(Protocol):
    """Starts programs."""

    def __call__(self, command: Sequence[str], environment: Mapping[str, str]) -> Process:
        """Start `command` in `environment`; raise `OSError` if that cannot be."""


class SystemProcess:
    """A program of the operating system; a thread for each stream waits for its lines."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self._lines: queue.SimpleQueue[Line] = queue.SimpleQueue()
        self._was_stopped = False
        self._program = subprocess.Popen(
            list(command),
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
            start_new_session=not _WINDOWS,  # its own children are stopped with it
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )
        self._readers = [
            threading.Thread(
                target=self._read, args=[stream], kwargs={"is_error": is_error}, daemon=True
            )
            for stream, is_error in ((self._program.stdout, False), (self._program.stderr, True))
        ]
        for reader in self._readers:
            reader.start()

    def lines(self) -> list[Line]:
        """Return what was printed since the last call."""
        found = []
        while True:
            try:
                found.append(self._lines.get_nowait())
            except queue.Empty:
                return found

    def exit_code(self) -> Optional[int]:
        """Return how it ended, once all that it printed was read; None before."""
        code = self._program.poll()
        reading = any(reader.is_alive() for reader in self._readers)
        return None if reading and not self._was_stopped else code

    def stop(self, *, at_once: bool = False) -> None:
        """Ask it and its children to stop, or end them; medseg leaves no half-written file."""
        self._was_stopped = True
        if self._program.poll() is not None:
            return
        if _WINDOWS:  # pip's medseg.exe takes its Python with it
            self._program.terminate()
            return
        # not SIGINT, which a program started in the background may ignore
        wanted = signal.SIGKILL if at_once else signal.SIGTERM
        with contextlib.suppress(ProcessLookupError):  # it ended in between
            os.killpg(self._program.pid, wanted)

    def _read(self, stream: Optional[IO[str]], *, is_error: bool) -> None:
        if stream is not None:
            with stream:
                for line in stream:
                    self._lines.put(Line(line.rstrip("\r\n"), is_error))
