import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.inferers import sliding_window_inference
from torch import nn

from medseg.inference import sliding_window
from medseg.inference.sliding_window import patch_starts, predict_logits

SIZES = st.tuples(*[st.integers(1, 13)] * 3)
PATCHES = st.tuples(*[st.integers(1, 8)] * 3)
OVERLAPS = st.sampled_from([0.0, 0.25, 0.5, 0.6, 0.8, 0.9])


class Recorder(nn.Module):
    """Returns its input and remembers what it saw."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def forward(self, patches):
        self.seen.append(patches.clone())
        return patches


@pytest.fixture
def network():
    """Two convolutions that see across a patch, up to its border, with three outputs."""
    torch.manual_seed(0)
    layers = [nn.Conv3d(2, 4, 5, padding=2), nn.Tanh(), nn.Conv3d(4, 3, 5, padding=2)]
    return nn.Sequential(*layers).eval()


def image_of(shape, channels=1):
    values = np.random.default_rng(5).normal(size=(channels, *shape))
    return torch.from_numpy(values.astype(np.float32))


@settings(max_examples=60, deadline=None)
@given(extent=SIZES, patch=PATCHES, overlap=OVERLAPS, batch=st.integers(1, 5))
def test_a_network_that_changes_nothing_returns_the_image(extent, patch, overlap, batch):
    image = image_of(extent, channels=2)
    found = predict_logits(nn.Identity(), image, patch=patch, overlap=overlap, batch=batch)
    assert found.shape == image.shape
    torch.testing.assert_close(found, image, atol=1e-5, rtol=0)


@settings(max_examples=100, deadline=None)
@given(extent=SIZES, patch=PATCHES, overlap=OVERLAPS)
def test_patches_cover_every_voxel_lie_inside_and_overlap_enough(extent, patch, overlap):
    extent = tuple(map(max, extent, patch))
    starts = patch_starts(extent, patch, overlap)
    assert len(set(starts)) == len(starts)
    assert starts == sorted(starts)
    for axis, (length, size) in enumerate(zip(extent, patch, strict=True)):
        places = sorted({start[axis] for start in starts})
        steps = np.diff(places)
        assert places[0] == 0
        assert places[-1] == length - size
        assert (steps <= max(1, round(size * (1 - overlap), 6))).all()
        assert steps.size == 0 or steps.max() - steps.min() <= 1


@pytest.mark.parametrize(
    ("length", "size", "overlap", "expected"),
    [
        (10, 10, 0.5, [0]),
        (11, 10, 0.5, [0, 1]),
        (20, 10, 0.0, [0, 10]),
        (20, 10, 0.5, [0, 5, 10]),
        (22, 10, 0.5, [0, 4, 8, 12]),
        (14, 10, 0.8, [0, 2, 4]),  # in floating point, 10 * (1 - 0.8) is just below 2
        (4, 2, 0.9, [0, 1, 2]),
    ],
)
def test_patches_are_as_few_as_the_overlap_allows(length, size, overlap, expected):
    starts = patch_starts((length, 3, 3), (size, 3, 3), overlap)
    assert starts == [(first, 0, 0) for first in expected]


@pytest.mark.parametrize("mode", ["gaussian", "constant"])
@pytest.mark.parametrize("shape", [(17, 13, 9), (9, 9, 9), (21, 9, 13)])
def test_monai_computes_the_same_logits_where_the_patches_coincide(
    network, shape, mode, monkeypatch
):
    image = image_of(shape, channels=2)  # both step by four voxels, evenly
    if mode == "constant":
        monkeypatch.setattr(sliding_window, "weight", lambda patch, _: torch.ones(patch))
    found = predict_logits(network, image, patch=(9, 9, 9), overlap=0.5, batch=2)
    with torch.inference_mode():
        expected = sliding_window_inference(
            image[None], (9, 9, 9), 1, network, overlap=0.5, mode=mode, sigma_scale=0.125
        )[0]
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


def test_the_middle_of_a_patch_counts_more_than_its_border():
    # Patches lie at 0 and 4 and answer 0 and 1. Voxel 4 lies half a voxel behind the middle of the
    # first patch and 3.5 voxels before that of the second; sigma is one voxel.
    class Numbered(nn.Module):
        calls = -1

        def forward(self, patches):
            self.calls += 1
            return torch.full_like(patches, self.calls)

    image = torch.zeros(1, 12, 1, 1)
    found = predict_logits(Numbered(), image, patch=(8, 1, 1), overlap=0.5, batch=1)[0, :, 0, 0]
    near, far = 1.0, max(1e-3, np.exp(-0.5 * 3.5**2) / np.exp(-0.5 * 0.5**2))
    assert found[4].item() == pytest.approx(far / (near + far), rel=1e-4)
    np.testing.assert_array_equal(found[:4], 0)
    np.testing.assert_array_equal(found[8:], 1)
    assert (found[4:8].diff() > 0).all()


@pytest.mark.parametrize("batch", [2, 3, 7, 100])
def test_patches_computed_at_once_give_the_same_logits(network, batch):
    image = image_of((11, 9, 13), channels=2)
    options = {"patch": (6, 6, 6), "overlap": 0.5}
    one = predict_logits(network, image, batch=1, **options)
    many = predict_logits(network, image, batch=batch, **options)
    torch.testing.assert_close(many, one, atol=1e-5, rtol=1e-5)


def test_the_network_sees_the_patches_it_should():
    image = image_of((10, 6, 9))
    network = Recorder()
    predict_logits(network, image, patch=(6, 6, 6), overlap=0.5, batch=4)
    expected = [image[:, i : i + 6, :, k : k + 6] for i, k in itertools.product((0, 2, 4), (0, 3))]
    assert [len(patches) for patches in network.seen] == [4, 2]
    assert torch.equal(torch.cat(network.seen), torch.stack(expected))


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_an_image_smaller_than_the_patch_lies_in_the_middle_of_zeros(axis):
    shape = [6, 6, 6]
    shape[axis] = 3
    image = image_of(shape)
    network = Recorder()
    found = predict_logits(network, image, patch=(6, 6, 6), overlap=0.5, batch=1)
    torch.testing.assert_close(found, image)
    (patches,) = network.seen
    middle = patches[0].narrow(1 + axis, 1, 3)
    assert torch.equal(middle, image)
    assert patches.count_nonzero() == middle.count_nonzero()


def test_mixed_precision_sums_in_float32(network):
    image = image_of((8, 8, 12), channels=2)
    options = {"patch": (8, 8, 8), "overlap": 0.5, "batch": 1}
    exact = predict_logits(network, image, **options)
    for precision in (torch.bfloat16, torch.float16):
        seen = []
        hook = network[0].register_forward_hook(lambda *given, s=seen: s.append(given[2].dtype))
        found = predict_logits(network, image, precision=precision, **options)
        hook.remove()
        assert set(seen) == {precision}
        assert found.dtype == torch.float32
        torch.testing.assert_close(found, exact, atol=0.05, rtol=0.05)
