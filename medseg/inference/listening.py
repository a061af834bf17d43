"""Who is told how a cohort is getting on, and how long the rest of it will take."""

import itertools
import time
from typing import Literal, Protocol, runtime_checkable

from medseg.inference.cohort import Failure, Job
from medseg.inference.report import Entry

Step = Literal["reading", "segmenting", "writing"]


@runtime_checkable
class Listener(Protocol):
    """Whoever wants to know how a cohort is getting on; it is told from several threads."""

    def on_start(self, total: int, skipped: int) -> None:
        """Take note that of `total` cases `skipped` are done already."""

    def on_step(self, job: Job, step: Step) -> None:
        """Take note of what is being done now."""

    def on_done(self, job: Job, entry: Entry, seconds_left: float) -> None:
        """Take note of a result, and of about how long the others will take."""

    def on_failure(self, failure: Failure, seconds_left: float) -> None:
        """Take note of a case that cannot be segmented."""

    def on_remark(self, text: str) -> None:
        """Take note of something that holds for all cases from now on."""


class Silent:
    """Tells nobody."""

    def on_start(self, total: int, skipped: int) -> None:
        """Say nothing."""

    def on_step(self, job: Job, step: Step) -> None:
        """Say nothing."""

    def on_done(self, job: Job, entry: Entry, seconds_left: float) -> None:
        """Say nothing."""

    def on_failure(self, failure: Failure, seconds_left: float) -> None:
        """Say nothing."""

    def on_remark(self, text: str) -> None:
        """Say nothing."""


class Clock:
    """How long the cases that are left will take, told whenever one has ended."""

    def __init__(self, cases: int) -> None:
        self._cases, self._ended = cases, itertools.count(1)
        self._began = time.monotonic()

    def seconds_left(self) -> float:
        """Count one more case as ended."""
        ended = next(self._ended)
        return (time.monotonic() - self._began) / ended * (self._cases - ended)
