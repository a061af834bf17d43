"""The best validation so far."""

from math import nan

from medseg.training.best import Best


def test_an_epoch_is_the_best_if_none_before_was_as_good():
    best = Best()
    assert [best.improves(dice) for dice in (0.5, 0.7, 0.7, 0.6, 0.8)] == [
        True,
        True,
        False,
        False,
        True,
    ]
    assert (best.dice, best.epochs_since) == (0.8, 0)


def test_epochs_without_a_better_one_are_counted_and_those_without_a_score_are_not():
    best = Best()
    for dice in (nan, 0.5, nan, 0.4, 0.5):
        best.improves(dice)
    assert (best.dice, best.epochs_since) == (0.5, 2)


def test_it_survives_a_resume():
    best, other = Best(), Best()
    for dice in (0.5, 0.4):
        best.improves(dice)
    other.load_state_dict(best.state_dict())
    assert (other.dice, other.epochs_since) == (0.5, 1)
