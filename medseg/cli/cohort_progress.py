"""How a cohort is getting on: for people on the terminal, or as JSON lines for programs."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.progress import Progress

from medseg.cli.console import bar, err, out

if TYPE_CHECKING:
    from medseg.inference.cohort import Failure, Job
    from medseg.inference.listening import Listener, Step
    from medseg.inference.report import Entry


class Terminal:
    """A bar with the time left, a line per scan, and the path of each result on standard output."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._shown = progress.add_task("Predicting", total=None)

    def on_start(self, total: int, skipped: int) -> None:
        """Show how many there are."""
        self._progress.update(self._shown, total=total, completed=skipped)
        if skipped:
            err.print(f"{skipped} of {total} are done already; --overwrite does them again")

    def on_step(self, job: "Job", step: "Step") -> None:
        """Show what is being done."""
        self._progress.update(self._shown, description=f"{job.case.name}: {step}")

    def on_done(self, job: "Job", entry: "Entry", seconds_left: float) -> None:  # noqa: ARG002 - the bar has its own
        """Show what was found."""
        quality = entry.quality or {}
        sizes = ", ".join(f"{name} {volume:.2f} mL" for name, volume in entry.volumes_ml.items())
        err.print(f"{job.image.name}: {sizes}; {quality['verdict']}")
        for reason in quality["reasons"]:
            err.print(f"  {reason}")
        out.print(str(job.output))
        self._progress.advance(self._shown)

    def on_failure(self, failure: "Failure", seconds_left: float) -> None:  # noqa: ARG002
        """Count it; the errors are told at the end."""
        del failure
        self._progress.advance(self._shown)

    def on_remark(self, text: str) -> None:
        """Show it."""
        err.print(text)


class JsonLines:
    """One JSON document per line and step on standard output."""

    def on_start(self, total: int, skipped: int) -> None:
        """Tell how many there are."""
        _line(step="start", cases=total, skipped=skipped)

    def on_step(self, job: "Job", step: "Step") -> None:
        """Tell what is being done."""
        _line(step=step, case=job.case.name)

    def on_done(self, job: "Job", entry: "Entry", seconds_left: float) -> None:
        """Tell what was found."""
        quality = entry.quality or {}
        _line(
            step="done",
            case=job.case.name,
            output=str(job.output),
            seconds=entry.seconds,
            seconds_left=round(seconds_left, 1),
            volumes_ml=entry.volumes_ml,
            verdict=quality["verdict"],
            reasons=quality["reasons"],
        )

    def on_failure(self, failure: "Failure", seconds_left: float) -> None:
        """Tell what is wrong."""
        _line(
            step="failed",
            case=failure.job.case.name,
            error=str(failure.error),
            seconds_left=round(seconds_left, 1),
        )

    def on_remark(self, text: str) -> None:
        """Tell it."""
        _line(step="remark", text=text)


@contextmanager
def listening(*, as_json: bool) -> "Iterator[Listener]":
    """Give whoever tells of a cohort's progress."""
    if as_json:
        yield JsonLines()
        return
    with bar(counted=True) as progress:
        yield Terminal(progress)


def _line(**fields: Any) -> None:
    out.print(json.dumps(fields, ensure_ascii=False), soft_wrap=True)
