import pytest
import torch
from torch import nn

from medseg.inference.precision import Precision
from medseg.inference.settling import Settling


def network(bias):
    """Two outputs that differ by `bias` everywhere."""
    layer = nn.Conv3d(1, 2, 1)
    nn.init.zeros_(layer.weight)
    layer.bias.data = torch.tensor([1.0, 1.0 + bias])
    return layer.eval()


LOW = Precision(torch.bfloat16, "proposed")
PATCH = torch.ones(1, 1, 2, 2, 2)


@pytest.mark.parametrize(("bias", "kept"), [(0.5, torch.bfloat16), (1e-4, torch.float32)])
def test_what_rounding_would_change_stays_in_float32(bias, kept):
    settling = Settling(network(bias), LOW, is_settled=False)
    assert not settling.is_settled
    settling.settle(PATCH, exclusive=True)
    assert settling.is_settled
    assert settling.precision.dtype == kept
    assert settling(PATCH).dtype == kept


def test_overlapping_outputs_agree_where_their_signs_do():
    settling = Settling(network(1e-4), LOW, is_settled=False)
    settling.settle(PATCH, exclusive=False)
    assert settling.precision.dtype == torch.bfloat16


def test_what_was_asked_for_is_not_doubted():
    settling = Settling(network(1e-4), LOW, is_settled=True)
    settling.settle(PATCH, exclusive=True)
    assert settling(PATCH).dtype == torch.bfloat16
