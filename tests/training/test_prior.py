"""Outputs begin at how often their region occurs."""

import numpy as np
import pytest
import torch

from medseg import networks
from medseg.data import store
from medseg.training.prior import begin_at_frequency, frequencies


@pytest.fixture
def cases(tmp_path):
    """Of 2 x 1000 voxels 100 are rim, 60 mantle and none inner."""
    stored = []
    for name, rim, mantle in (("a", 100, 0), ("b", 0, 60)):
        labels = np.zeros(1000, np.uint8)
        labels[:rim] = 1
        labels[-mantle or 1000 :] = 2
        image = np.zeros((1, 10, 10, 10), np.float32)
        stored.append(store.put(tmp_path, name, image, labels.reshape(10, 10, 10)))
    return stored


@pytest.fixture
def network():
    return networks.build(
        "swin_unetr", in_channels=2, out_channels=3, features=12, depths=(1, 1, 1, 1)
    )


def test_a_region_is_as_frequent_as_its_labels_together(cases, phantom_task):
    # whole holds rim and mantle, core holds mantle, innermost holds neither
    assert frequencies(phantom_task, cases).tolist() == pytest.approx([0.08, 0.03, 0.0])


def test_sigmoid_outputs_begin_there(cases, phantom_task, network):
    begin_at_frequency(network, phantom_task, cases)
    begun = networks.head_bias(network).sigmoid()
    # what never occurs begins at one in ten thousand
    torch.testing.assert_close(begun, torch.tensor([0.08, 0.03, 1e-4]), rtol=1e-4, atol=1e-7)


def test_softmax_outputs_are_left_alone(cases, hippocampus_task, network):
    before = networks.head_bias(network).clone()
    begin_at_frequency(network, hippocampus_task, cases)
    assert torch.equal(networks.head_bias(network), before)


def test_a_head_without_a_bias_is_left_alone(cases, phantom_task):
    network = networks.build(
        "d_former", in_channels=2, out_channels=3, size="tiny", head_bias=False
    )
    before = {name: weight.clone() for name, weight in network.state_dict().items()}
    begin_at_frequency(network, phantom_task, cases)
    assert all(torch.equal(before[name], now) for name, now in network.state_dict().items())
