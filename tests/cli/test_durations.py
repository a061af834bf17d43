"""Durations as people write them."""

import math

import pytest

from medseg.cli.durations import seconds, shown
from medseg.errors import UsageError


@pytest.mark.parametrize(
    ("text", "expected"),
    [("90s", 90), ("30m", 1800), ("2h", 7200), ("1h30m", 5400), ("1.5h", 5400), ("1 d", 86400)],
)
def test_durations_are_read(text, expected):
    assert seconds(text) == expected


@pytest.mark.parametrize("text", ["", "30", "m30", "0s", "-5m", "3 weeks", "1h30"])
def test_other_text_is_refused(text):
    with pytest.raises(UsageError, match="Write it like"):
        seconds(text)


@pytest.mark.parametrize(
    ("duration", "expected"),
    [(45.2, "45 s"), (723, "12 min 03 s"), (3900, "1 h 05 min"), (math.inf, "?"), (math.nan, "?")],
)
def test_durations_are_shown(duration, expected):
    assert shown(duration) == expected
