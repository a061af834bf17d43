"""Prediction in bfloat16 beside float32, for every network."""

import pytest
import torch
from torch import nn

from medseg import networks, registry
from medseg.inference import precision
from medseg.inference.precision import Precision, agreement, largest, lowered

CPU = torch.device("cpu")


@pytest.fixture
def native(monkeypatch):
    def pretend(*, there):
        capabilities = {"avx512_bf16": there}
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)

    return pretend


def image(*size):
    return torch.randn(1, 2, *size, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", registry.names(networks))
def test_every_network_decides_alike_in_bfloat16_and_stays_as_it_is(name):
    torch.manual_seed(0)
    network = networks.build(name, in_channels=2, out_channels=3, size="tiny").eval()
    before = {key: weight.clone() for key, weight in network.state_dict().items()}
    low = lowered(network, torch.bfloat16)
    assert {p.dtype for p in low.parameters()} >= {torch.bfloat16}
    given = image(32, 24, 32)
    with torch.inference_mode():
        logits, reference = low(given), network(given)
    assert logits.shape == reference.shape
    assert agreement(logits, reference, largest) > 0.985  # untrained: most labels are near a tie
    assert not torch.equal(logits.float(), reference)
    for key, weight in network.state_dict().items():
        assert weight.dtype == before[key].dtype
        assert torch.equal(weight, before[key])


def test_float32_is_the_network_itself():
    network = nn.Conv3d(1, 2, 1)
    assert lowered(network, torch.float32) is network


class Scaled(nn.Module):
    """A part that does not say whether its weight may be rounded."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv3d(2, 3, 1)
        self.scale = nn.Parameter(torch.tensor(1.001))

    def forward(self, x):
        return self.conv(x) * self.scale


def test_a_part_that_nobody_knows_keeps_its_weights_and_computes_under_autocast():
    network = Scaled().eval()
    low = lowered(network, torch.bfloat16)
    assert {p.dtype for p in low.parameters()} == {torch.float32}
    with torch.inference_mode():
        difference = low(image(4, 4, 4)) - network(image(4, 4, 4))
    assert 0 < difference.abs().max() < 0.05


class Wide(Scaled):
    """The same, and it does."""

    ROUNDED = ()


def test_weights_that_a_part_wants_in_float32_are_shared():
    network = Wide().eval()
    low = lowered(network, torch.bfloat16)
    parameters = dict(low.named_parameters())
    assert parameters["network.scale"] is network.scale
    assert parameters["network.conv.weight"].dtype == torch.bfloat16


def test_agreement_counts_the_voxels_with_the_same_label():
    reference = torch.tensor([[[[[1.0, 5.0, 2.0, 0.0]]], [[[0.0, 6.0, 1.0, 3.0]]]]])
    logits = torch.tensor([[[[[1.0, 9.0, 2.0, 0.0]]], [[[0.5, 6.0, 1.0, 3.0]]]]])
    assert agreement(logits, reference, largest) == 0.75  # the second of four is another


def test_auto_takes_bfloat16_where_the_processor_has_it(native):
    native(there=True)
    assert precision.choose("auto", CPU).dtype == torch.bfloat16
    native(there=False)
    chosen = precision.choose("auto", CPU)
    assert chosen.dtype == torch.float32
    assert "does not compute in bfloat16" in chosen.reason


def test_what_is_asked_for_is_taken_and_emulation_is_said(native):
    native(there=False)
    assert precision.choose("float32", CPU) == Precision(torch.float32, "asked for")
    chosen = precision.choose("bfloat16", CPU)
    assert chosen.dtype == torch.bfloat16
    assert "emulates" in chosen.reason
