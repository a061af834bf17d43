"""One call of medseg: what it printed, whether it ended, and what it says if it failed."""

from typing import Optional

from MedSegLib.process import Process

_PREFIX = "medseg: "
_STOPPED = 130


class Call:
    """A call of medseg, from its start to its end; `update` takes in what is new.

    Attributes:
        output: The lines of standard output so far.
        log: The lines of standard error so far.
        finished: Whether it ended.
        error: Why it failed, for people; None if it did not, or runs still.
    """

    def __init__(self, process: Process) -> None:
        self._process = process
        self.output: list[str] = []
        self.log: list[str] = []
        self.finished = False
        self.cancelled = False
        self.error: Optional[str] = None

    def update(self) -> None:
        """Take in what was printed, and whether it ended."""
        if self.finished:
            return
        code = self._process.exit_code()  # first, so that no line comes after it
        for line in self._process.lines():
            if line.is_error:
                self.log.append(line.text)
            else:
                self.output.append(line.text)
                self._take(line.text)
        if code is not None:
            self.finished = True
            self.error = self._judge(code)

    def cancel(self, *, at_once: bool = False) -> None:
        """Stop it; `update` tells when it has stopped."""
        if not self.finished:
            self.cancelled = True
            self._process.stop(at_once=at_once)

    def _take(self, line: str) -> None:
        """Take note of a line of standard output."""

    def _judge(self, code: int) -> Optional[str]:
        """Return what is wrong with a call that ended with `code`; None if nothing is."""
        if self.cancelled or code == _STOPPED:
            self.cancelled = True
            return "stopped"
        if code == 0:
            return None
        told = [line for line in self.log if line.startswith(_PREFIX)]
        if told:
            start = self.log.index(told[-1])
            return "\n".join([told[-1][len(_PREFIX) :], *self.log[start + 1 :]])
        rest = [line for line in self.log if line.strip()]
        return "\n".join(rest[-5:]) or f"medseg ended with code {code} and said nothing"
