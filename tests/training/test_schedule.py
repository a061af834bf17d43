"""How far training has come, and the learning rate."""

import math

import pytest

from medseg.training.schedule import Progress, learning_rate


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


def test_steps_decide_without_a_time_limit():
    assert Progress(200, None, now=Clock()).fraction(50) == 0.25


def test_the_clock_decides_if_it_is_ahead():
    clock = Clock()
    progress = Progress(200, 60.0, now=clock)
    clock.seconds += 45
    assert progress.fraction(50) == 0.75
    assert progress.fraction(180) == 0.9


def test_progress_ends_at_one():
    clock = Clock()
    progress = Progress(10, 5.0, now=clock)
    clock.seconds += 50
    assert progress.fraction(3) == 1.0


def test_time_of_an_interrupted_run_counts():
    clock = Clock()
    progress = Progress(1000, 60.0, elapsed_before=10.0, now=clock)
    progress.add_elapsed(20.0)
    assert progress.elapsed_seconds == 30.0
    assert progress.fraction(0) == 0.5


def test_time_left_is_estimated_from_the_speed_so_far():
    clock = Clock()
    progress = Progress(100, None, now=clock)
    assert progress.seconds_left(0) == math.inf
    clock.seconds += 30
    assert progress.seconds_left(25) == pytest.approx(90.0)


@pytest.mark.parametrize("decay", ["cosine", "poly"])
def test_the_rate_peaks_after_the_warm_up_and_ends_at_zero(decay):
    def rate(fraction):
        return learning_rate(fraction, peak=0.01, warm_up=0.1, decay=decay)

    assert 0 < rate(0.0) < 0.001
    assert rate(0.05) == pytest.approx(0.005, rel=0.01)
    assert rate(0.1) == pytest.approx(0.01)
    assert rate(1.0) == pytest.approx(0.0)
    falling = [rate(0.1 + 0.09 * n) for n in range(11)]
    assert falling == sorted(falling, reverse=True)


def test_half_of_a_cosine_is_half_the_peak():
    rate = learning_rate(0.55, peak=2.0, warm_up=0.1, decay="cosine")
    assert rate == pytest.approx(1.0)


def test_poly_is_the_power_of_what_remains():
    rate = learning_rate(0.5, peak=2.0, warm_up=0.0, decay="poly")
    assert rate == pytest.approx(2.0 * 0.5**0.9)
