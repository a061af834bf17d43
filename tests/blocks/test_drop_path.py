"""Branches that are left out at random."""

import pytest
import torch

from medseg.blocks.drop_path import DropPath, rising_rates


def test_a_dropped_path_is_all_or_nothing_for_a_case_and_keeps_the_mean():
    torch.manual_seed(0)
    path = DropPath(0.25)
    result = path(torch.ones(4000, 1, 1, 1, 2))
    assert torch.equal(result[..., 0], result[..., 1])
    assert set(result.unique().tolist()) == {0.0, torch.tensor(1 / 0.75).item()}
    assert abs(result.mean() - 1) < 0.05
    assert torch.equal(path.eval()(result), result)


@pytest.mark.parametrize("probability", [-0.1, 1.0, 1.5, float("nan")])
def test_a_probability_that_leaves_nothing_is_refused(probability):
    with pytest.raises(ValueError, match="drop_path must be at least 0 and below 1"):
        DropPath(probability)


def test_rates_rise_linearly_over_all_stages():
    assert rising_rates(0.5, (1, 2, 3)) == [[0.0], [0.1, 0.2], pytest.approx([0.3, 0.4, 0.5])]
    assert rising_rates(0.5, (1,)) == [[0.0]]
