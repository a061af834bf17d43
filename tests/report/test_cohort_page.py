import math

import pytest

from medseg.report.cohort_page import Row, strip


def row(name, value):
    return Row(name, f"{name}.html", "pass", (), {"Dice": value})


def test_dots_stand_where_their_values_are_and_pile_up():
    rows = [row("a", 0.0), row("b", 1.0), row("c", 0.25), row("d", 0.25)]
    found = strip("Dice", rows)
    x = {dot.name: dot.x for dot in found.dots}
    assert (x["a"], x["b"], x["c"]) == (10, 310, 85)
    y = {dot.name: dot.y for dot in found.dots}
    assert y["d"] < y["c"]
    assert (found.low, found.high, found.median, found.median_at) == (0, 1, 0.25, 85)
    assert found.dots[0].page == "a.html"


def test_what_is_not_finite_is_left_out():
    rows = [row("a", None), row("b", math.nan), row("c", math.inf), row("d", 2.0)]
    found = strip("Dice", rows)
    assert [dot.name for dot in found.dots] == ["d"]
    assert found.median == pytest.approx(2.0)
    assert strip("Dice", rows[:3]) is None
