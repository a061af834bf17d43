"""Lengths along three axes."""

import pytest

from medseg.blocks.axes import coarser, per_axis, product


def test_one_length_is_for_every_axis_and_three_stay():
    assert per_axis(2) == (2, 2, 2)
    assert per_axis([1, 2, 3]) == (1, 2, 3)


@pytest.mark.parametrize("value", [0, -1, (3, 3), (1, 2, 0), (1, 2, 3, 4), 1.5, "222", None, ()])
def test_anything_else_is_refused_by_the_name_of_the_option(value):
    with pytest.raises(ValueError, match="window must be one whole number above 0, or three"):
        per_axis(value, "window")


def test_strides_are_multiplied_along_each_axis():
    assert product((1, 2, 3), (2, 2, 1)) == (2, 4, 3)


def test_a_coarser_grid_holds_what_the_stride_does_not_divide():
    assert coarser((5, 4, 1), (2, 2, 2)) == (3, 2, 1)
