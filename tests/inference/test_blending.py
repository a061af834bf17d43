import itertools

import pytest
import torch

from medseg.inference import blending
from medseg.inference.blend_weight import weight
from medseg.inference.blending import Answer, Band

EXTENT, PATCH = (9, 11, 37), (5, 6, 21)
STARTS = ([0, 2, 4], [0, 5], [0, 8, 16])


def band_of(axis, depth, blend="gaussian"):
    cpu = torch.device("cpu")
    return Band(EXTENT, STARTS, PATCH, blend, axis=axis, depth=depth, device=cpu)


@pytest.fixture(params=["compiled", "torch"])
def way(request, monkeypatch):
    """Either way of adding up."""
    if request.param == "torch":
        monkeypatch.setattr(blending, "import_error", lambda _: "it is broken")


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("threads", [1, 3])
def test_the_mean_is_that_of_the_weighted_patches(axis, threads, monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    generator = torch.Generator().manual_seed(axis)
    places = list(itertools.product(*STARTS))
    logits = [torch.randn(2, *PATCH, generator=generator) for _ in places]
    sums, weights = torch.zeros(2, *EXTENT), torch.zeros(EXTENT)
    band = band_of(axis, EXTENT[axis], "nnunet")
    for place, patch in zip(places, logits, strict=True):
        box = tuple(slice(s, s + n) for s, n in zip(place, PATCH, strict=True))
        sums[(slice(None), *box)] += patch * weight(PATCH, "nnunet")
        weights[box] += weight(PATCH, "nnunet")
        band.add([Answer(place, patch)])
    for planes in (slice(0, 4), slice(4, EXTENT[axis])):
        band.finish(planes, planes)
    torch.testing.assert_close(band.total(2), sums / weights, atol=1e-5, rtol=1e-5)


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_patches_added_together_are_those_added_one_by_one(precision):
    torch.manual_seed(1)
    starts = [(0, 5, 0), (0, 5, 8), (0, 5, 16)]
    answers = [Answer(start, torch.randn(3, *PATCH).to(precision)) for start in starts]
    sums = []
    for groups in ([answers], [[answer] for answer in answers]):
        band = band_of(0, 5)
        for group in groups:
            band.add(group)
        sums.append(band.total(3))
    torch.testing.assert_close(sums[0], sums[1])
    assert sums[0].abs().amin(dim=(0, 1))[5:].all()
    assert not sums[0][:, :, :5].any()


def test_planes_of_the_image_lie_in_a_ring():
    band = band_of(0, 5)
    assert band.planes(3, 9) == [(slice(3, 5), slice(3, 5)), (slice(5, 9), slice(0, 4))]


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_planes_beyond_the_end_of_the_ring_are_at_its_beginning(axis):
    depth = PATCH[axis]
    ring, line = band_of(axis, depth), band_of(axis, EXTENT[axis])
    last = STARTS[axis][-1]
    answer = Answer(blending.replaced((0, 0, 0), axis, last), torch.randn(1, *PATCH))
    for band in (ring, line):
        band.add([answer])
    for planes, place in ring.planes(last, last + PATCH[axis]):
        found = ring.total(1).narrow(1 + axis, place.start, place.stop - place.start)
        expected = line.total(1).narrow(1 + axis, planes.start, planes.stop - planes.start)
        torch.testing.assert_close(found, expected)
