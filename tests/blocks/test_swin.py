"""The Swin block's parts that no whole network shows."""

import torch

from medseg.blocks.swin import DropPath


def test_a_dropped_path_is_all_or_nothing_for_a_case_and_keeps_the_mean():
    torch.manual_seed(0)
    path = DropPath(0.25)
    result = path(torch.ones(4000, 1, 1, 1, 2))
    assert torch.equal(result[..., 0], result[..., 1])
    assert set(result.unique().tolist()) == {0.0, torch.tensor(1 / 0.75).item()}
    assert abs(result.mean() - 1) < 0.05
    assert torch.equal(path.eval()(result), result)
