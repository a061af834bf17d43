"""The moving average of weights."""

import pytest
import torch
from torch import nn

from medseg.training.average import WeightAverage


def _set(network, value):
    with torch.no_grad():
        network.weight.fill_(value)


@pytest.fixture
def network():
    layer = nn.Linear(1, 1, bias=False)
    _set(layer, 0.0)
    return layer


def test_the_first_steps_are_averaged_with_a_smaller_decay(network):
    average = WeightAverage(network, decay=0.9)
    _set(network, 1.0)
    average.update(network)  # decay min(0.9, 2/11): 9/11 of the way
    assert average.weights["weight"].item() == pytest.approx(9 / 11)
    average.update(network)  # decay min(0.9, 3/12): 3/4 of the rest
    assert average.weights["weight"].item() == pytest.approx(1 - (2 / 11) * (3 / 12))


def test_the_decay_is_the_one_asked_for_in_the_long_run(network):
    average = WeightAverage(network, decay=0.5)
    average.updates = 1000
    _set(network, 1.0)
    average.update(network)
    assert average.weights["weight"].item() == pytest.approx(0.5)


def test_without_decay_it_is_the_last_weight(network):
    average = WeightAverage(network, decay=0.0)
    _set(network, 3.0)
    average.update(network)
    assert average.weights["weight"].item() == 3.0


def test_counters_are_copied_not_averaged():
    network = nn.BatchNorm1d(2)
    average = WeightAverage(network, decay=0.9)
    network.num_batches_tracked.fill_(7)
    average.update(network)
    assert average.weights["num_batches_tracked"].item() == 7


def test_it_goes_on_where_it_was_saved(network):
    one = WeightAverage(network, decay=0.9)
    _set(network, 1.0)
    one.update(network)
    two = WeightAverage(network, decay=0.9)
    two.load_state_dict(one.state_dict())
    for average in (one, two):
        average.update(network)
    assert torch.equal(one.weights["weight"], two.weights["weight"])


def test_the_averaged_weights_are_no_view_of_the_networks(network):
    average = WeightAverage(network, decay=0.9)
    _set(network, 5.0)
    assert average.weights["weight"].item() == 0.0


def test_a_foreign_state_is_refused(network):
    with pytest.raises(ValueError, match="no state of a weight average"):
        WeightAverage(network, decay=0.9).load_state_dict({"updates": None, "weights": 3})
