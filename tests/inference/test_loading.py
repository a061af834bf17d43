import gc
import weakref
from pathlib import Path

import pytest
import torch
from torch import nn

from medseg.bundle import Bundle
from medseg.inference import loading
from medseg.inference.loading import InTurn
from medseg.inference.precision import Precision

CPU = torch.device("cpu")


@pytest.fixture
def models(hippocampus_task, make_plan):
    return [Bundle(Path(name), hippocampus_task, make_plan()) for name in "abc"]


@pytest.fixture
def built(monkeypatch):
    """Build networks that cost nothing; return what is left of each, by the model's name."""
    left = []

    def build(bundle):
        assert not any(network() is not None for _, network in left), "two networks at once"
        network = nn.Conv3d(1, 3, 1).eval()
        left.append((bundle.folder.name, weakref.ref(network)))
        return network

    monkeypatch.setattr(Bundle, "build_network", build)
    return left


def test_a_network_is_gone_before_the_next_one_is_read(models, built):
    gc.disable()  # it is gone at once, not when cycles are looked for
    try:
        several = InTurn(models, CPU, "float32")
        for number in (0, 0, 1, 2, 2, 0):
            network = several.take(number)
            assert network is several.network
            del network
    finally:
        gc.enable()
    assert [name for name, _ in built] == ["a", "b", "c", "a"]
    assert [network() is not None for _, network in built] == [False, False, False, True]


def test_the_one_in_memory_is_applied(models, built):
    several = InTurn(models, CPU, "float32")
    image = torch.ones(1, 1, 2, 2, 2)
    with torch.inference_mode():
        for number in (0, 2):
            expected = several.take(number)(image)
            torch.testing.assert_close(several(image), expected)
    assert len(built) == 2


def test_what_a_network_was_found_to_compute_in_holds_when_it_comes_back(
    models, built, monkeypatch
):
    low = Precision(torch.bfloat16, "tried")
    monkeypatch.setattr(loading, "choose", lambda *_: low)
    several = InTurn(models[:2], CPU, "auto")
    assert not several.take(0).is_settled
    several.take(0).begin()(torch.zeros(1, 1, 2, 2, 2))
    assert several.found == {}
    assert several.take(1).precision is low  # the first one settled when it was let go of
    found = several.found[0]
    assert several.take(0).is_settled
    assert several.take(0).precision is found
    assert found is not low
    assert len(built) == 3


def test_a_scan_that_was_broken_off_settles_nothing(models, built, monkeypatch):
    monkeypatch.setattr(loading, "choose", lambda *_: Precision(torch.bfloat16, "tried"))
    several = InTurn(models[:2], CPU, "auto")
    several.take(1).begin()(torch.zeros(1, 1, 2, 2, 2))
    several.forget()
    several.take(0).begin()(torch.zeros(1, 1, 2, 2, 2))
    several.settle()
    assert several.found.keys() == {0}
    assert [name for name, _ in built] == ["a", "b", "a"]


def test_what_was_settled_elsewhere_holds_for_every_network(models, built):
    several = InTurn(models[:2], CPU, "auto")
    known = {n: Precision(torch.bfloat16, str(n)) for n in (0, 1)}
    several.settle_as(known)
    assert several.found == known
    assert [several.take(n).precision.reason for n in (0, 1)] == ["0", "1"]
    assert len(built) == 2


def test_after_a_network_that_cannot_be_read_there_is_none(models, monkeypatch):
    monkeypatch.setattr(Bundle, "build_network", lambda _: nn.Identity())
    several = InTurn(models, CPU, "float32")

    def fail(_):
        raise RuntimeError("damaged")

    monkeypatch.setattr(Bundle, "build_network", fail)
    with pytest.raises(RuntimeError, match="damaged"):
        several.take(1)
    assert several.network is None
    monkeypatch.setattr(Bundle, "build_network", lambda _: nn.Identity())
    assert several.take(1) is several.network
