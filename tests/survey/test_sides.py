"""Left and right."""

import pytest

from medseg import task as tasks
from medseg.survey.sides import swapped

SYNAPSE = tasks.read("synapse")
BODY = {"right_kidney": (60, 0, 0), "left_kidney": (-60, 0, 0), "liver": (75, 0, 0)}
BODY |= {"spleen": (-90, 0, 0)}


@pytest.fixture
def body(made):
    def make(name, sign=1.0):
        centres = {organ: (sign * x, float(y), float(z)) for organ, (x, y, z) in BODY.items()}
        return made(name, centres_mm=centres)

    return make


def test_organs_in_their_places_are_in_order(body):
    assert swapped([body("a"), body("b")], SYNAPSE) == []


def test_a_mirrored_case_is_named_once(body):
    (found,) = swapped([body("a"), body("b", -1.0), body("c")], SYNAPSE)
    assert found.case == "b"
    assert "lies left of" in found.cause


def test_a_mirrored_set_is_told_of_as_a_whole(body):
    (found,) = swapped([body("a", -1.0), body("b", -1.0)], SYNAPSE)
    assert found.case == "all"


def test_without_geometry_only_those_unlike_most_are_told(body):
    mirrored = [body(name, -1.0) for name in "abc"]
    assert swapped(mirrored, SYNAPSE, has_geometry=False) == []
    (found,) = swapped([*mirrored, body("d")], SYNAPSE, has_geometry=False)
    assert found.case == "d"


def test_ventricles_do_not_lie_where_their_names_say(made):
    centres = {"right_ventricle": (-20.0, 0.0, 0.0), "left_ventricle": (20.0, 0.0, 0.0)}
    assert swapped([made("a", centres_mm=centres)], tasks.read("acdc")) == []


def test_organs_that_are_not_there_say_nothing(made):
    assert swapped([made("a", centres_mm={"liver": (-50.0, 0.0, 0.0)})], SYNAPSE) == []
