"""Durations as people write them: `90s`, `30m`, `2h`, `1h30m`."""

import math
import re
from typing import Final

from medseg.errors import UsageError

_SECONDS: Final = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}
_FORM: Final = re.compile(r"(?:\d+(?:\.\d+)?[dhms])+")
_PART: Final = re.compile(r"(\d+(?:\.\d+)?)([dhms])")


def seconds(text: str) -> float:
    """Return the number of seconds that `text` stands for.

    Raises:
        UsageError: It is no duration, or zero.
    """
    compact = text.strip().lower().replace(" ", "")
    total = sum(float(number) * _SECONDS[unit] for number, unit in _PART.findall(compact))
    if not _FORM.fullmatch(compact) or total <= 0:
        raise UsageError(f"{text!r} is no duration", remedy="Write it like 90s, 30m, 2h or 1h30m")
    return total


def shown(duration_seconds: float) -> str:
    """Return a duration for people: `1 h 05 min`, `12 min 03 s`, `45 s`; `?` if unknown."""
    if not math.isfinite(duration_seconds):
        return "?"
    whole = round(duration_seconds)
    if whole >= 3600:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    if whole >= 60:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole} s"
