import pytest
import torch
from torch import nn

from medseg.inference.precision import Precision
from medseg.inference.settling import Settling, count_likely, decide, judged, least_telling

LOW = Precision(torch.bfloat16, "proposed")


class Levels(nn.Module):
    """Background below 0.5, a label above it, and another one from `edge`."""

    def __init__(self, edge):
        super().__init__()
        self.edge = edge

    def forward(self, x):
        return torch.cat([0.5 - x, x - 0.5, (x - self.edge) * 64 + self.edge - 0.5], dim=1)


def scan(seed=0):
    """Patches of background; in one of them a small structure near 2."""
    patches = torch.rand(40, 1, 16, 16, 16, generator=torch.Generator().manual_seed(seed)) / 4
    patches[4, :, 2:4, 2:5, 2:4] = 2.002
    return patches


def applied(network, patches):
    answer = network.begin()
    with torch.inference_mode():
        return torch.cat([answer(patch[None]) for patch in patches])


def test_a_small_structure_that_rounding_removes_is_noticed_in_whatever_patch():
    # 2.002 is 2 in bfloat16, and only what is above 2.001 is of the second label
    network = Settling(Levels(2.001), LOW, exclusive=True, is_settled=False)
    low = applied(network, scan())
    assert not network.settle()
    assert network.is_settled
    assert network.precision.dtype == torch.float32
    assert "the Dice of one label is 0.000" in network.precision.reason
    exact = applied(network, scan())
    assert int((low.argmax(1) != exact.argmax(1)).sum()) == 12  # of 163840
    assert network.settle()


def test_what_agrees_is_kept_and_decided_once():
    network = Settling(Levels(1.5), LOW, exclusive=True, is_settled=False)
    assert network(scan()).dtype == torch.float32  # as long as nothing is settled
    assert applied(network, scan()).argmax(1).max() == 2
    assert network.settle()
    assert network.precision.dtype == torch.bfloat16
    assert "100.00% of the labels are those of float32" in network.precision.reason
    assert "background" not in network.precision.reason
    reason = network.precision.reason
    applied(network, scan(1))
    assert network.settle()
    assert network.precision.reason == reason


def test_nothing_is_decided_before_a_patch_was_seen():
    network = Settling(Levels(1.5), LOW, exclusive=True, is_settled=False)
    assert network.settle()
    network.begin()
    assert network.settle()
    assert not network.is_settled
    applied(network, scan()[:1])
    assert network.settle()
    assert "all of them background" in network.precision.reason


def test_of_a_small_scan_the_patch_that_tells_of_most_labels_is_compared():
    network = Settling(Levels(2.001), LOW, exclusive=True, is_settled=False)
    applied(network, scan()[:15])
    assert not network.settle()
    assert "only 99.71% of the labels" in network.precision.reason  # 12 of 4096


def test_a_scan_that_was_broken_off_is_forgotten():
    network = Settling(Levels(2.001), LOW, exclusive=True, is_settled=False)
    applied(network, scan())
    applied(network, scan()[:4])
    assert network.settle()
    assert network.precision.dtype == torch.bfloat16


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_what_was_asked_for_or_settled_before_is_not_doubted(dtype):
    known = Precision(dtype, "known")
    asked = Settling(Levels(2.001), known, exclusive=True, is_settled=True)
    before = Settling(Levels(2.001), LOW, exclusive=True, is_settled=False)
    before.settle_as(known)
    for network in (asked, before):
        assert applied(network, scan()).dtype == dtype
        assert network.settle()
        assert network.precision == known


def test_float32_gives_way_to_what_other_cases_were_done_in_and_rounded_weights_stay():
    network = Settling(Levels(2.001), Precision(torch.float32, ""), exclusive=True, is_settled=True)
    network.settle_as(LOW)
    assert network(scan()).dtype == torch.bfloat16
    network.settle_as(Precision(torch.float32, ""))
    assert network.precision == LOW


def test_the_patches_kept_hold_most_of_every_label():
    counts = [[900, 0, 0], [800, 0, 0], [0, 3, 0], [700, 1, 0], [0, 0, 50]]
    likely = [torch.tensor(each) for each in counts]
    assert least_telling(likely) == 3  # any but the first of the large label would do
    assert least_telling([likely[n] for n in (2, 0, 4, 3, 1)]) == 4
    assert least_telling([torch.zeros(3, dtype=torch.int64)] * 5) == 4


def test_what_is_a_quarter_probable_is_likely():
    logits = torch.tensor([[2.0, 0.0, 0.0], [0.0, 0.0, 2.0], [0.0, 0.0, 1.0]])[..., None, None]
    assert count_likely(logits, exclusive=True).tolist() == [2, 1]  # 0.11 0.33 0.67; 0.11 0.33 0.24
    assert count_likely(logits, exclusive=False).tolist() == [3, 3, 3]


def test_labels_are_the_largest_and_regions_are_above_zero():
    logits = torch.tensor([[1.0, -1.0], [0.5, 3.0]])[..., None, None]
    assert decide(logits, exclusive=True).flatten().tolist() == [0, 1]
    assert decide(logits, exclusive=False).flatten().tolist() == [True, False, True, True]


def labelled(*sizes, total=10_000):
    """One column of voxels, as many of each label as said."""
    labels = torch.zeros(1, total, 1, 1, dtype=torch.int16)
    start = 0
    for value, size in enumerate(sizes, start=1):
        labels[:, start : start + size] = value
        start += size
    return labels


@pytest.mark.parametrize(
    ("sizes", "others", "fault", "said"),
    [
        ((100, 50), (100, 50), False, "100.00%"),
        ((100, 50), (79, 50), True, "only 99.58%"),  # the second moves by 21: 42 voxels
        ((1000, 4), (1000, 0), False, "99.96%"),  # a speck
        ((1000, 5), (1000, 0), True, "Dice of one label is 0.000"),
        ((1000,), (1010,), False, "99.90%"),
        ((300,), (315,), True, "Dice of one label is 0.976"),  # 600 / 615
    ],
)
def test_all_labels_and_each_must_agree(sizes, others, fault, said):
    found = judged([labelled(*sizes)], [labelled(*others)], labels=2)
    assert found[0] is fault
    assert said in found[1]


def test_regions_are_compared_each():
    one = torch.zeros(2, 1000, 1, 1, dtype=torch.bool)
    one[0, :500] = True
    other = one.clone()
    assert judged([one], [other], labels=None)[0] is False
    other[1, :6] = True
    fault, said = judged([one] * 4, [other, one, one, one], labels=None)
    assert fault  # 6 voxels of 4000 are 0.15 %, and the second region is lost
    assert "99.85%" in said


@pytest.mark.parametrize(("patches", "again"), [(1, 1), (15, 1), (16, 2), (40, 4)])
def test_no_more_is_computed_twice_than_promised(patches, again):
    network = Settling(Levels(1.5), LOW, exclusive=True, is_settled=False)
    applied(network, scan()[:patches])
    seen = []
    network.network.register_forward_hook(lambda *given: seen.append(len(given[2])))
    network.settle()
    assert seen == [1] * again
