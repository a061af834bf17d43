"""Weights of others: recognised, renamed, adapted, counted, refused."""

import pytest
import torch
from torch import nn

from medseg import weights
from medseg.weights import Source


class Toy(nn.Module):
    """A 3D convolution, a block with a rule of its own, a scale and a buffer."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv3d(1, 2, 3)
        self.block = Doubled()
        self.scales = nn.ParameterList([nn.Parameter(torch.zeros(1)) for _ in range(20)])
        self.register_buffer("index", torch.arange(3))


class Doubled(nn.Module):
    """Takes a weight of half its length twice."""

    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(4, 1, bias=False)

    def inflated(self, name, weight):
        assert name == "inner.weight"
        return torch.cat([weight, weight], dim=-1)


def own(name):
    return name.removeprefix("theirs.")


def state_of(toy, **changes):
    state = {f"theirs.{name}": torch.full_like(p, 2.0) for name, p in toy.named_parameters()}
    return {**state, **{f"theirs.{name}": value for name, value in changes.items()}}


SOURCES = {
    "renamed": Source(what="Toy of others", rename=own),
    "scales": Source(what="scales only", rename=own, part=r"scales"),
}


def test_weights_go_where_their_names_say_and_are_counted():
    toy = Toy()
    report = weights.load(toy, state_of(toy, index=torch.zeros(3), extra=torch.ones(1)), SOURCES)
    assert all((p == 2).all() for p in toy.parameters())
    assert toy.index.tolist() == [0, 1, 2]  # a buffer keeps its own value
    assert (len(report.matched), report.missing, report.adapted) == (23, (), ())
    assert report.unexpected == ("theirs.extra",)
    assert "23 weights matched, 0 of them adapted; 0 missing, 1 unexpected" in str(report)
    assert "unexpected: theirs.extra" in str(report)


def test_weights_of_an_image_network_are_adapted():
    toy = Toy()
    flat = {"first.weight": torch.ones(2, 1, 3, 3), "block.inner.weight": torch.tensor([[1.0, 2]])}
    flat_source = {"flat": Source(what="Toy of images", rename=own, flat=True)}
    report = weights.load(toy, state_of(toy, **flat), flat_source)
    assert set(report.adapted) == {"first.weight", "block.inner.weight"}
    torch.testing.assert_close(toy.first.weight.data, torch.full((2, 1, 3, 3, 3), 1 / 3))
    assert toy.block.inner.weight.tolist() == [[1.0, 2.0, 1.0, 2.0]]


def test_up_to_a_tenth_may_be_missing_and_is_named():
    toy = Toy()
    state = state_of(toy, **{"scales.0": torch.zeros(5)})  # a shape that nothing can adapt
    del state["theirs.scales.1"]
    report = weights.load(toy, state, {"renamed": SOURCES["renamed"]})
    assert report.missing == ("scales.0", "scales.1")
    assert report.unexpected == ("theirs.scales.0",)
    assert report.share == pytest.approx(21 / 23)


def test_less_than_nine_tenths_is_refused_and_changes_nothing():
    toy = Toy()
    before = {name: p.clone() for name, p in toy.named_parameters()}
    state = {name: value for name, value in state_of(toy).items() if "scales" not in name}
    with pytest.raises(ValueError, match=r"do not fit Toy.*3 weights matched.*20 missing"):
        weights.load(toy, state, {"renamed": SOURCES["renamed"]})
    assert all(torch.equal(p, before[name]) for name, p in toy.named_parameters())


def test_the_source_that_fits_best_is_taken():
    toy = Toy()
    only = {name: value for name, value in state_of(toy).items() if "scales" in name}
    assert weights.load(toy, only, SOURCES).what == "scales only"
    assert weights.load(toy, state_of(toy), SOURCES).what == "Toy of others"


def test_a_source_may_refuse_the_options_of_a_network():
    def refuse(_network):
        raise ValueError("built with the wrong option")

    toy = Toy()
    source = Source(what="Toy", rename=own, check=refuse)
    with pytest.raises(ValueError, match="wrong option"):
        weights.load(toy, state_of(toy), {"source": source})


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.heads = 2
        self.relative_position_bias_table = nn.Parameter(torch.zeros(9, 2))


def test_weights_of_other_heads_are_refused_though_the_rest_fits():
    toy = Toy()
    toy.attention = Attention()
    state = state_of(toy, **{"attention.relative_position_bias_table": torch.zeros(9, 3)})
    with pytest.raises(ValueError, match="of 3 heads at attention, where Toy has 2"):
        weights.load(toy, state, SOURCES)


def test_weights_of_volumes_come_before_those_of_images_that_fit_as_well():
    sources = {"flat": Source(what="flat", rename=own, flat=True), **SOURCES}
    toy = nn.Linear(2, 3)
    assert weights.load(toy, state_of(toy), sources).what == "Toy of others"


def test_what_is_not_weights_by_name_is_refused():
    with pytest.raises(ValueError, match="must be given by their names, got a list"):
        weights.unwrapped([torch.ones(1)])


def test_a_network_without_sources_says_so():
    with pytest.raises(ValueError, match="Linear knows no weights"):
        weights.load(nn.Linear(1, 1), {}, {})


@pytest.mark.parametrize("wrapper", ["state_dict", "model", "network_weights"])
def test_wrappings_of_training_programs_come_off(wrapper):
    checkpoint = {"epoch": 3, wrapper: {"module.a.b": torch.ones(1)}}
    assert list(weights.unwrapped(checkpoint)) == ["a.b"]


def test_a_prefix_that_only_some_names_have_stays():
    state = {"module.a": torch.ones(1), "b": torch.ones(1)}
    assert list(weights.unwrapped(state)) == ["module.a", "b"]


def test_a_checkpoint_without_weights_is_refused():
    with pytest.raises(ValueError, match=r"only \['epoch'\]"):
        weights.unwrapped({"epoch": 3})


def test_half_precision_weights_become_float32():
    toy = Toy()
    narrow = {name: value.bfloat16() for name, value in state_of(toy).items()}
    weights.load(toy, narrow, SOURCES)
    assert {p.dtype for p in toy.parameters()} == {torch.float32}
