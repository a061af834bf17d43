import itertools

import pytest
import torch
from monai.inferers.utils import compute_importance_map

from medseg.inference import blending
from medseg.inference.blending import Answer, Band, gaussian

EXTENT, PATCH = (9, 11, 37), (5, 6, 21)
STARTS = ([0, 2, 4], [0, 5], [0, 8, 16])


# Of odd size: at even ones MONAI's largest weight is below 1, which makes its floor of 0.001 a
# little higher in relation.
@pytest.mark.parametrize("patch", [(9, 9, 9), (5, 9, 17), (1, 7, 7)])
def test_the_weight_is_monais_gaussian(patch):
    expected = compute_importance_map(patch, mode="gaussian", sigma_scale=0.125)
    torch.testing.assert_close(gaussian(patch), expected, atol=1e-6, rtol=0)


@pytest.fixture(params=["compiled", "torch"])
def way(request, monkeypatch):
    """Either way of adding up."""
    if request.param == "torch":
        monkeypatch.setattr(blending, "import_error", lambda _: "it is broken")
    return request.param


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("threads", [1, 3])
def test_sums_of_ones_are_one_wherever_patches_meet(way, axis, threads, monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    whole = EXTENT[axis]
    band = Band(EXTENT, STARTS, PATCH, axis=axis, depth=whole, device=torch.device("cpu"))
    for start in STARTS[axis]:
        band.begin(start)
        for place in itertools.product(*blending.replaced(STARTS, axis, [start])):
            band.add([Answer(place, torch.ones(2, *PATCH))])
    torch.testing.assert_close(band.total(2), torch.ones(2, *EXTENT), atol=1e-5, rtol=0)


def test_patches_added_together_are_those_added_one_by_one(way):
    torch.manual_seed(1)
    starts = [(0, 0, 0), (0, 0, 8), (0, 5, 16)]
    answers = [Answer(start, torch.randn(3, *PATCH).to(torch.bfloat16)) for start in starts]
    sums = []
    for groups in ([answers], [[answer] for answer in answers]):
        band = Band(EXTENT, STARTS, PATCH, axis=0, depth=5, device=torch.device("cpu"))
        band.begin(0)
        for group in groups:
            band.add(group)
        sums.append(band.total(3))
    torch.testing.assert_close(sums[0], sums[1])


def test_planes_of_the_image_lie_in_a_ring():
    band = Band(EXTENT, STARTS, PATCH, axis=0, depth=5, device=torch.device("cpu"))
    assert band.planes(3, 9) == [(slice(3, 5), slice(3, 5)), (slice(5, 9), slice(0, 4))]
