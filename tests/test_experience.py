import pytest

from medseg import experience as experiences
from medseg.errors import ModelError
from medseg.experience import ChannelExperience, Experience, LabelExperience, Spread, spread


def level(value):
    return Spread(lowest=value - 1, middle=value, highest=value + 1)


@pytest.fixture
def experience():
    channel = ChannelExperience(
        minimum=level(0), zero_share=level(0.5), levels=tuple(level(n) for n in range(7))
    )
    label = LabelExperience(
        present=0.5,
        touching=0,
        volume_ml=level(3),
        components=level(1),
        intensities={"t1": level(2)},
    )
    sides = (level(1), level(1), level(5))
    return Experience(
        cases=3, spacing_mm=sides, extent_mm=sides, channels={"t1": channel}, labels={"a": label}
    )


def test_the_text_of_an_experience_parses_to_it(experience, tmp_path):
    assert experiences.parse(experiences.text(experience), where=tmp_path) == experience


@pytest.mark.parametrize("content", ["", "[", "cases: 0", "cases: 3\nunknown: 1"])
def test_text_that_is_no_experience_is_refused(content, tmp_path):
    with pytest.raises(ModelError, match="does not describe training cases"):
        experiences.parse(content, where=tmp_path)


def test_a_spread_is_the_range_and_the_median():
    found = spread([4.0, 1.0, 2.0, 10.0])
    assert (found.lowest, found.middle, found.highest) == (1.0, 3.0, 10.0)


@pytest.mark.parametrize(("value", "holds"), [(0.9, False), (1, True), (10, True), (10.1, False)])
def test_a_value_is_inside_up_to_the_ends(value, holds):
    found = Spread(lowest=1, middle=5, highest=10)
    assert found.holds(value) is holds
    assert found.holds(value, margin=0.2)


@pytest.mark.parametrize(("value", "holds"), [(0.4, False), (0.5, True), (20, True), (21, False)])
def test_a_factor_widens_both_ends(value, holds):
    assert Spread(lowest=1, middle=5, highest=10).holds_within(value, 2.0) is holds
