import itertools

import pytest
import torch

from medseg.inference import blending
from medseg.inference.blend_weight import weight
from medseg.inference.blending import Answer, Band

EXTENT, PATCH = (9, 11, 37), (5, 6, 21)
STARTS = ([0, 2, 4], [0, 5], [0, 8, 16])


def band_of(axis, depth):
    cpu = torch.device("cpu")
    return Band(EXTENT, STARTS, weight(PATCH), axis=axis, depth=depth, device=cpu)


@pytest.fixture(params=["compiled", "torch"])
def way(request, monkeypatch):
    """Either way of adding up."""
    if request.param == "torch":
        monkeypatch.setattr(blending, "import_error", lambda _: "it is broken")


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("threads", [1, 3])
def test_sums_of_ones_are_one_wherever_patches_meet(axis, threads, monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    whole = EXTENT[axis]
    band = band_of(axis, whole)
    for start in STARTS[axis]:
        band.begin(start)
        for place in itertools.product(*blending.replaced(STARTS, axis, [start])):
            band.add([Answer(place, torch.ones(2, *PATCH))])
    torch.testing.assert_close(band.total(2), torch.ones(2, *EXTENT), atol=1e-5, rtol=0)


@pytest.mark.usefixtures("way")
def test_patches_added_together_are_those_added_one_by_one():
    torch.manual_seed(1)
    starts = [(0, 0, 0), (0, 0, 8), (0, 5, 16)]
    answers = [Answer(start, torch.randn(3, *PATCH).to(torch.bfloat16)) for start in starts]
    sums = []
    for groups in ([answers], [[answer] for answer in answers]):
        band = band_of(0, 5)
        band.begin(0)
        for group in groups:
            band.add(group)
        sums.append(band.total(3))
    torch.testing.assert_close(sums[0], sums[1])


def test_planes_of_the_image_lie_in_a_ring():
    band = band_of(0, 5)
    assert band.planes(3, 9) == [(slice(3, 5), slice(3, 5)), (slice(5, 9), slice(0, 4))]
