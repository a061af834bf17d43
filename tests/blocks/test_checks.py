"""Options that are refused by name."""

from typing import Literal

import pytest

from medseg.blocks.checks import (
    check_choice,
    check_counts,
    check_heads,
    check_odd,
    check_probabilities,
    check_stages,
)


def test_impossible_stages_are_refused():
    with pytest.raises(ValueError, match="heads need 4 entries, one for each stage, got 3"):
        check_stages(4, depths=(1, 1, 1, 1), heads=(1, 2, 4))
    with pytest.raises(ValueError, match="5 coarse_heads do not divide the 16 features of stage 2"):
        check_heads(8, (2, 5), "coarse_heads")


@pytest.mark.parametrize("count", [0, -2])
def test_no_heads_are_refused(count):
    with pytest.raises(ValueError, match="heads must be a whole number above 0"):
        check_heads(8, (1, count))


def test_one_number_for_all_stages_is_refused():
    with pytest.raises(ValueError, match="strides need 3 entries, one for each step, got one"):
        check_stages(3, each="step", strides=2)


def test_choices_counts_probabilities_and_kernels_are_refused_by_name():
    with pytest.raises(ValueError, match="mode 'c' is none of a, b"):
        check_choice("mode", "c", Literal["a", "b"])
    with pytest.raises(ValueError, match="states must be a whole number above 0, got 0"):
        check_counts(features=1, states=0)
    with pytest.raises(ValueError, match="drop_path must be at least 0 and below 1, got 1"):
        check_probabilities(drop_path=1.0)
    with pytest.raises(ValueError, match=r"kernel must be odd along each axis, got \(3, 2, 3\)"):
        check_odd("kernel", (3, 2, 3))
