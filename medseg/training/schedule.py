"""How far training has come, by steps or by the clock, and the learning rate that follows."""

import math
import time
from collections.abc import Callable
from typing import Literal


class Progress:
    """The part of a training that is done: the larger of steps and time, 0 to 1.

    Args:
        total_steps: Steps at most.
        max_seconds: Seconds at most, or None.
        elapsed_before: Seconds that an interrupted run used up already.
        now: A clock in seconds.
    """

    def __init__(
        self,
        total_steps: int,
        max_seconds: float | None,
        *,
        elapsed_before: float = 0.0,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.total_steps = total_steps
        self.max_seconds = max_seconds
        self._now = now
        self._start = now() - elapsed_before

    @property
    def elapsed_seconds(self) -> float:
        """Seconds since training began, those of interrupted runs included."""
        return self._now() - self._start

    def add_elapsed(self, seconds: float) -> None:
        """Count `seconds` of an earlier, interrupted run."""
        self._start -= seconds

    def fraction(self, step: int) -> float:
        """Return how much is done after `step` steps."""
        by_steps = step / self.total_steps
        by_time = self.elapsed_seconds / self.max_seconds if self.max_seconds else 0.0
        return min(1.0, max(by_steps, by_time))

    def seconds_left(self, step: int) -> float:
        """Estimate the time until the end, at the speed so far; infinite at the start."""
        done = self.fraction(step)
        return self.elapsed_seconds * (1.0 - done) / done if done > 0 else math.inf


def learning_rate(
    fraction: float, *, peak: float, warm_up: float, decay: Literal["cosine", "poly"]
) -> float:
    """Return the learning rate when `fraction` of the training is done.

    It rises linearly to `peak` during `warm_up` and falls to 0 at the end, as half a cosine or as
    the 0.9th power of what remains (nnU-Net's `poly`).
    """
    if fraction < warm_up:
        return peak * (fraction / warm_up + 1e-3)
    remaining = (1.0 - fraction) / (1.0 - warm_up) if warm_up < 1 else 0.0
    if decay == "cosine":
        return peak * 0.5 * (1.0 - math.cos(math.pi * remaining))
    return peak * float(remaining**0.9)
