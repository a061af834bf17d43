import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from monai.inferers import sliding_window_inference
from torch import nn

from medseg.inference import blending
from medseg.inference.blending import HELD, Band
from medseg.inference.sliding_window import (
    Outside,
    Tiling,
    logit_slabs,
    mirrored,
    patch_starts,
    predict_logits,
)

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
    found = predict_logits(nn.Identity(), image, Tiling(patch, overlap, batch))
    assert found.shape == image.shape
    torch.testing.assert_close(found, image, atol=1e-5, rtol=0)


@settings(max_examples=100, deadline=None)
@given(extent=SIZES, patch=PATCHES, overlap=OVERLAPS)
def test_patches_cover_every_voxel_lie_inside_and_overlap_enough(extent, patch, overlap):
    extent = tuple(map(max, extent, patch))
    for places, length, size in zip(
        patch_starts(extent, patch, overlap), extent, patch, strict=True
    ):
        steps = np.diff(places)
        assert (steps > 0).all()
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
    assert patch_starts((length, 3, 3), (size, 3, 3), overlap) == (expected, [0], [0])


STEPS = st.sampled_from([0.5, 0.2, 0.25, 0.3, 0.7, 0.75, 0.9, 1.0])


@pytest.mark.filterwarnings("ignore")  # nnU-Net's packages warn of their own deprecated calls
@settings(max_examples=400, deadline=None)
@given(
    extent=st.tuples(*[st.integers(1, 300)] * 3),
    patch=st.tuples(*[st.integers(1, 160)] * 3),
    part=STEPS,
)
@example(extent=(110, 23, 400), patch=(64, 9, 7), part=0.5)
def test_models_of_nnunet_get_their_patches_where_nnunet_has_them(extent, patch, part):
    from nnunetv2.inference.sliding_window_prediction import compute_steps_for_sliding_window

    extent = tuple(map(max, extent, patch))
    theirs = compute_steps_for_sliding_window(extent, patch, part)
    expected = tuple(sorted(set(along)) for along in theirs)  # it may repeat some
    assert patch_starts(extent, patch, 1 - part, "nnunet") == expected
    if min(patch) * part >= 1:
        assert expected == tuple(theirs)


def test_odd_patches_lie_further_apart_for_nnunet():
    # 9 * 0.5 is 4.5: two steps of it span 9 voxels, and two whole steps of 4 do not.
    assert patch_starts((18, 9, 9), (9, 9, 9), 0.5) == ([0, 3, 6, 9], [0], [0])
    assert patch_starts((18, 9, 9), (9, 9, 9), 0.5, "nnunet") == ([0, 4, 9], [0], [0])
    outputs = predict_logits(nn.Identity(), image_of((18, 9, 9)), Tiling((9, 9, 9), blend="nnunet"))
    torch.testing.assert_close(outputs, image_of((18, 9, 9)), atol=1e-5, rtol=0)


@pytest.mark.parametrize("shape", [(17, 13, 9), (9, 9, 9), (21, 9, 13)])
def test_monai_computes_the_same_logits_where_the_patches_coincide(network, shape):
    image = image_of(shape, channels=2)  # both step by four voxels, evenly
    found = predict_logits(network, image, Tiling((9, 9, 9), 0.5, 2))
    with torch.inference_mode():
        expected = sliding_window_inference(
            image[None], (9, 9, 9), 1, network, overlap=0.5, mode="gaussian", sigma_scale=0.125
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
    found = predict_logits(Numbered(), image, Tiling((8, 1, 1)))[0, :, 0, 0]
    near, far = 1.0, max(1e-3, np.exp(-0.5 * 3.5**2) / np.exp(-0.5 * 0.5**2))
    assert found[4].item() == pytest.approx(far / (near + far), rel=1e-4)
    np.testing.assert_array_equal(found[:4], 0)
    np.testing.assert_array_equal(found[8:], 1)
    assert (found[4:8].diff() > 0).all()


@pytest.mark.parametrize("batch", [2, 3, 7, 100])
def test_patches_computed_at_once_give_the_same_logits(network, batch):
    image = image_of((11, 9, 13), channels=2)
    one = predict_logits(network, image, Tiling((6, 6, 6), 0.5, 1))
    many = predict_logits(network, image, Tiling((6, 6, 6), 0.5, batch))
    torch.testing.assert_close(many, one, atol=1e-5, rtol=1e-5)


def test_the_network_sees_the_patches_it_should():
    image = image_of((10, 6, 9))
    network = Recorder()
    predict_logits(network, image, Tiling((6, 6, 6), 0.5, 4))
    expected = [image[:, i : i + 6, :, k : k + 6] for i, k in itertools.product((0, 2, 4), (0, 3))]
    assert [len(patches) for patches in network.seen] == [2, 2, 2]  # a batch begins in one plane
    assert torch.equal(torch.cat(network.seen), torch.stack(expected))


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_an_image_smaller_than_the_patch_lies_in_the_middle_of_zeros(axis):
    shape = [6, 6, 6]
    shape[axis] = 3
    image = image_of(shape)
    network = Recorder()
    found = predict_logits(network, image, Tiling((6, 6, 6)))
    torch.testing.assert_close(found, image)
    (patches,) = network.seen
    middle = patches[0].narrow(1 + axis, 1, 3)
    assert torch.equal(middle, image)
    assert patches.count_nonzero() == middle.count_nonzero()


def test_logits_of_another_precision_are_summed_in_float32(network):
    image = image_of((8, 8, 12), channels=2)
    exact = predict_logits(network, image, Tiling((8, 8, 8)))
    for precision in (torch.bfloat16, torch.float16):
        found = predict_logits(
            lambda patches, p=precision: network(patches).to(p), image, Tiling((8, 8, 8))
        )
        assert found.dtype == torch.float32
        torch.testing.assert_close(found, exact, atol=0.01, rtol=0.01)


def plainly(network, image, tiling, outside=None):
    """Average all patches as one would write it down first: no slabs, no groups, in float64."""
    sizes = [max(n, size) for n, size in zip(image.shape[1:], tiling.patch, strict=True)]
    firsts = [(size - n) // 2 for n, size in zip(image.shape[1:], sizes, strict=True)]
    inner = tuple(slice(f, f + n) for f, n in zip(firsts, image.shape[1:], strict=True))
    padded = torch.zeros(len(image), *sizes)
    padded[:, *inner] = image
    known = torch.ones(sizes, dtype=torch.bool)
    known[inner] = False if outside is None else outside.mask
    middles = [(torch.arange(size).double() - (size - 1) / 2) / size for size in tiling.patch]
    i, j, k = (torch.exp(-32 * middle**2) for middle in middles)  # sigma is an eighth
    weight = i[:, None, None] * j[:, None] * k
    weight = weight.clamp(min=1e-3)
    total, weights, empty = 0.0, torch.zeros(sizes, dtype=torch.float64), []
    for starts in itertools.product(*patch_starts(tuple(sizes), tiling.patch, tiling.overlap)):
        place = tuple(slice(s, s + n) for s, n in zip(starts, tiling.patch, strict=True))
        if outside is not None and known[place].all():
            empty.append(place)
        logits = mirrored(network, tiling.mirror_axes)(padded[:, *place][None])[0].detach()
        part = torch.zeros(len(logits), *sizes, dtype=torch.float64)
        part[:, *place] = logits * weight
        total = total + part
        weights[place] += weight
    result = total / weights
    for place in empty:
        result[:, *place] = outside.logits[:, None, None, None].double()
    return result[:, *inner].float()


LENGTHS = st.one_of(st.integers(1, 24), st.sampled_from([1, 1, 31, 33, 47, 60]))


@settings(max_examples=40, deadline=None)
@given(
    extent=st.tuples(LENGTHS, LENGTHS, LENGTHS),
    patch=st.tuples(*[st.sampled_from([1, 2, 5, 8, 16, 20])] * 3),
    overlap=st.sampled_from([0.0, 0.25, 0.5, 0.7]),
    axis=st.integers(0, 2),
    batch=st.integers(1, 3),
    data=st.data(),
)
def test_slabs_are_what_a_plain_sliding_window_gives(extent, patch, overlap, axis, batch, data):
    assume(math.prod(map(len, patch_starts(*larger(extent, patch), overlap))) < 200)
    seed = data.draw(st.integers(0, 9))
    generator = torch.Generator().manual_seed(seed)
    image = torch.randn(2, *extent, generator=generator)
    mix = torch.randn(3, 2, generator=generator)
    place = torch.randn(3, *patch, generator=generator)

    def network(patches):  # every voxel's answer depends on where it lies in the patch
        return torch.einsum("oc,bcijk->boijk", mix, patches) * place + place

    mask = torch.ones(extent, dtype=torch.bool)
    corner = [data.draw(st.integers(0, n - 1)) for n in extent]
    mask[corner[0] :, corner[1] :, corner[2] :] = False
    outside = data.draw(st.sampled_from([None, Outside(mask, torch.tensor([9.0, -9.0, 0.0]))]))
    tiling = Tiling(patch, overlap, batch)
    expected = plainly(network, image, tiling, outside)
    found = [s.clone() for s in logit_slabs(network, image, tiling, axis=axis, outside=outside)]
    torch.testing.assert_close(torch.cat(found, 1 + axis), expected, atol=1e-4, rtol=1e-4)
    whole = predict_logits(network, image, tiling, outside=outside)
    torch.testing.assert_close(whole, expected, atol=1e-4, rtol=1e-4)


def larger(extent, patch):
    return tuple(map(max, extent, patch)), patch


def test_patches_of_background_alone_are_not_computed():
    image = image_of((20, 8, 8))
    mask = torch.ones(20, 8, 8, dtype=torch.bool)
    mask[9] = False
    network = Recorder()
    outside = Outside(mask, torch.tensor([-7.0]))
    found = predict_logits(network, image, Tiling((8, 8, 8)), outside=outside)
    assert len(network.seen) == 2  # of those at 0, 4, 8 and 12
    torch.testing.assert_close(found[:, 8:12], image[:, 8:12])
    assert (found[:, :8] == -7).all()
    assert (found[:, 12:] == -7).all()


def test_nothing_is_computed_where_all_is_background():
    image, network = image_of((9, 8, 8)), Recorder()
    outside = Outside(torch.ones(9, 8, 8, dtype=torch.bool), torch.tensor([3.0, -3.0]))
    slabs = [s.clone() for s in logit_slabs(network, image, Tiling((4, 4, 4)), outside=outside)]
    whole = predict_logits(network, image, Tiling((4, 4, 4)), outside=outside)
    for found in (whole, torch.cat(slabs, 1)):
        assert found.shape == (2, 9, 8, 8)
        assert (found[0] == 3).all()
        assert (found[1] == -3).all()
    assert not network.seen


def test_mirrored_patches_are_averaged_over_every_combination(network):
    patches = image_of((1, 5, 6, 7), channels=2).movedim(1, 0)
    with torch.inference_mode():
        found = mirrored(network, (0, 2))(patches)
        ways = [(), (2,), (4,), (2, 4)]
        expected = sum(network(patches.flip(way)).flip(way) for way in ways) / 4
    torch.testing.assert_close(found, expected)
    assert mirrored(network, ()) is network


def test_mirroring_makes_the_answer_follow_a_mirrored_image(network):
    image = image_of((9, 8, 10), channels=2)
    tiling = Tiling((6, 6, 6), mirror_axes=(1,))
    found = predict_logits(network, image, tiling)
    other = predict_logits(network, image.flip(2), tiling).flip(2)
    torch.testing.assert_close(found, other, atol=1e-5, rtol=1e-5)


def test_a_slab_at_a_time_holds_no_more_planes_than_a_patch(monkeypatch):
    made = []

    def zeros(shape, device):
        made.append(math.prod(shape))
        return torch.full(shape, 0.0, device=device)

    monkeypatch.setattr(blending, "_zeros", zeros)
    image = image_of((6, 40, 6), channels=2)
    assert len(list(logit_slabs(nn.Identity(), image, Tiling((4, 4, 4)), axis=1))) > 10
    assert max(made) == 2 * 6 * 4 * 6


def test_patches_that_were_added_are_let_go_of_before_more_are_computed(monkeypatch):
    lent, lengths, add = [], [], Band.add

    def watched(band, answers):
        lent.append(answers)
        lengths.append(len(answers))
        add(band, answers)

    def network(patches):
        assert all(len(answers) < HELD for answers in lent)
        return patches.clone()

    monkeypatch.setattr(Band, "add", watched)
    image = torch.randn(1, 6, 6, 40)
    found = torch.cat([s.clone() for s in logit_slabs(network, image, Tiling((6, 6, 4)))], dim=1)
    torch.testing.assert_close(found, image)
    assert lengths == [HELD] * 4 + [3]  # 19 patches, 2 voxels apart
