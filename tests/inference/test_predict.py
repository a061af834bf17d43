import gc
import math
import weakref
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from torch import nn

from medseg import bundle as bundles
from medseg import formats
from medseg.bundle import Bundle
from medseg.data import preprocessing
from medseg.data.cases import Case, read_image
from medseg.errors import ModelError
from medseg.inference import ensemble, predict
from medseg.inference.options import Options
from medseg.recipe import Inference
from medseg.volume import Grid, Volume

EXACT = Options("float32")


class Threshold(nn.Module):
    """Calls the bright voxels the first label and never says the second."""

    def __init__(self):
        super().__init__()
        self.level = nn.Parameter(torch.tensor(0.0))

    def forward(self, patches):
        bright = patches - self.level
        return torch.cat([-bright, bright, torch.full_like(bright, -99)], dim=1)


@pytest.fixture
def predictor(tmp_path, hippocampus_task, make_plan):
    """A predictor at another spacing than that of the scans, with patches that overlap."""
    plan = make_plan(spacing_mm=(0.8, 1.0, 1.6), inference=Inference(overlap=0.5, batch=3))
    bundle = Bundle(tmp_path, hippocampus_task, plan)
    return predict.Predictor(bundle, Threshold().eval(), torch.device("cpu"))


@pytest.mark.parametrize("signs", [(1, 1, 1), (-1, -1, 1), (1, -1, -1)])
def test_a_segmentation_lies_on_the_grid_of_its_scan(predictor, signs):
    affine = np.diag([*signs, 1.0])
    affine[:3, 3] = (-20, 3, 70)
    voxels = np.full((15, 14, 17), 100, dtype=np.int16)
    voxels[4:11, 3:12, 2:9] = 200
    found = predict.predict(predictor, Volume(voxels[None], Grid((15, 14, 17), affine)))
    assert found.grid.affine is affine
    assert found.task is predictor.bundle.task
    certain = np.ones(voxels.shape, dtype=bool)
    for axis, faces in enumerate([(4, 11), (3, 12), (2, 9)]):
        for face in faces:  # a border may move by a voxel when it is resampled
            np.moveaxis(certain, axis, 0)[face - 1 : face + 1] = False
    np.testing.assert_array_equal((found.label_map == 1)[certain], (voxels == 200)[certain])
    assert set(np.unique(found.label_map)) == {0, 1}


SPACINGS = st.tuples(*[st.floats(0.3, 5.0)] * 3)
SIZES = st.one_of(st.just(1), st.integers(1, 30), st.integers(1, 300))


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    lengths=st.tuples(SIZES, st.one_of(st.just(1), st.integers(1, 20)), st.integers(1, 20)),
    turn=st.permutations(range(3)),
    spacing_mm=SPACINGS,
    wanted_mm=SPACINGS,
)
def test_any_shape_and_spacing_goes_from_file_to_labels(
    predictor, tmp_path, put, lengths, turn, spacing_mm, wanted_mm
):
    assume(math.prod(lengths) > 1)
    bright = np.zeros(lengths, dtype=bool)
    axis = int(np.argmax(lengths))
    half = np.moveaxis(bright, axis, 0)
    half[len(half) // 2 :] = True
    voxels = np.where(bright, np.int16(200), np.int16(100)).transpose(turn)
    path = put(tmp_path / "scan.nii", voxels, np.diag([*spacing_mm, 1.0]))
    scan = read_image(Case("scan", (path,)), predictor.bundle.task)
    bundle = predictor.bundle
    plan = bundle.plan.model_copy(update={"spacing_mm": wanted_mm, "patch": (16, 16, 16)})
    found = predict.predict(replace(predictor, bundle=replace(bundle, plan=plan)), scan)
    assert found.label_map.shape == voxels.shape
    assert found.grid is scan.grid
    assert found.label_map.max() <= 1
    place = turn.index(axis)
    ends = np.moveaxis(found.label_map, place, 0)[[0, -1]]
    if lengths[axis] * spacing_mm[place] > 4 * wanted_mm[place]:  # its halves can be told apart
        assert not ends[0].any()
        assert ends[1].all()


def test_a_prepared_image_may_be_read_only(predictor):
    image = np.random.default_rng(0).normal(size=(1, 9, 10, 11)).astype(np.float32)
    image.flags.writeable = False
    found = predict.logits(predictor.network, image, predictor.bundle.plan)
    np.testing.assert_allclose(found[1], image[0], atol=1e-5)


def test_patch_overlap_and_batch_are_those_of_the_plan(predictor):
    seen = []
    predictor.network.register_forward_hook(lambda *given: seen.append(tuple(given[2].shape)))
    image = np.zeros((1, 16, 12, 8), dtype=np.float32)
    predict.logits(predictor.network, image, predictor.bundle.plan)
    assert seen == [(2, 3, 8, 8, 8)] * 3  # three starts along i, and two along j at each


def test_a_bundle_is_loaded_with_its_network_ready(tmp_path, hippocampus_task, make_plan):
    from medseg import networks

    network = networks.build("swin_unetr", in_channels=1, out_channels=3, features=12)
    bundle = bundles.write(tmp_path, hippocampus_task, make_plan(), network.state_dict())
    found = predict.load(bundle, torch.device("cpu"))
    assert found.bundle is bundle
    assert found.device == torch.device("cpu")
    assert not found.network.training
    (tmp_path / "weights.safetensors").unlink()
    with pytest.raises(ModelError, match="does not fit swin_unetr"):
        predict.load(bundle, torch.device("cpu"))


@pytest.mark.parametrize("shape", [(33, 20, 18), (40, 9, 12)])  # the second is padded
def test_an_image_on_demand_gives_what_one_prepared_at_once_gives(
    predictor, shape, monkeypatch, rng
):
    plan = predictor.bundle.plan.model_copy(
        update={"spacing_mm": (1.0, 1.0, 1.0), "patch": (16, 16, 16)}
    )
    predictor = replace(predictor, bundle=replace(predictor.bundle, plan=plan))
    scan = Volume(rng.normal(100, 20, (1, *shape)).astype(np.float32), Grid(shape, np.eye(4)))
    expected = predict.predict(predictor, scan).label_map
    monkeypatch.setattr(preprocessing, "LARGE", 1)
    assert np.array_equal(predict.predict(predictor, scan).label_map, expected)
    assert expected.max() == 1


@pytest.fixture
def stripped(hippocampus_task, make_plan, tmp_path):
    """A predictor of a task whose scans are 0 outside, and such a scan, turned and flipped."""
    task = hippocampus_task.model_copy(update={"outside": "zero"})
    bundle = Bundle(tmp_path, task, make_plan(inference=Inference(overlap=0.5, batch=2)))
    predictor = predict.Predictor(bundle, Threshold().eval(), torch.device("cpu"))
    voxels = np.zeros((40, 19, 23), dtype=np.int16)
    voxels[9:15, 4:15, 6:12] = np.random.default_rng(3).integers(50, 200, (6, 11, 6))
    affine = np.array([[0, 0, -1, 5], [1, 0, 0, 6], [0, -1, 0, 7], [0, 0, 0, 1.0]])
    return predictor, Volume(voxels[None], Grid(voxels.shape, affine))


def test_cropping_and_skipping_change_nothing_but_what_is_background_for_certain(stripped):
    predictor, volume = stripped
    plain = replace(predictor, options=Options("float32", crop=False, skip=False))
    expected = predict.predict(plain, volume)
    for crop, skip in ((True, False), (False, True), (True, True)):
        cut = replace(predictor, options=Options("float32", crop=crop, skip=skip))
        found = predict.predict(cut, volume)
        assert found.grid is volume.grid
        assert found.label_map.any()
        np.testing.assert_array_equal(found.label_map, expected.label_map)
        measured = predict.predict_measured(cut, volume, keep_entropy=True)
        np.testing.assert_array_equal(measured.segmentation.label_map, expected.label_map)
        assert measured.entropy.shape == volume.grid.shape
        assert measured.entropy[30:].max() < 1e-9


@pytest.mark.parametrize("spacing_mm", [(1.6, 0.8, 1.3), (0.7, 2.1, 0.9)])
def test_cropping_moves_no_label_where_the_network_has_voxels_of_another_size(stripped, spacing_mm):
    predictor, volume = stripped
    plan = predictor.bundle.plan.model_copy(update={"spacing_mm": spacing_mm})
    predictor = replace(predictor, bundle=replace(predictor.bundle, plan=plan))
    found = {}
    for crop, skip in ((False, False), (True, False), (True, True)):
        cut = replace(predictor, options=Options("float32", crop=crop, skip=skip))
        found[crop, skip] = predict.predict(cut, volume).label_map
    inside = volume.voxels[0] > 0
    expected = found.pop((False, False))
    assert 0.1 < (expected[inside] == 1).mean() < 0.9
    for label_map in found.values():  # a voxel's label is that of its value, whatever the patches
        assert np.array_equal(label_map[inside], expected[inside])
        assert set(np.unique(label_map[label_map != expected])) <= {0}


def test_cropping_moves_no_label_of_the_mean_of_models(stripped, monkeypatch):
    predictor, volume = stripped
    monkeypatch.setattr(Bundle, "build_network", lambda _: Threshold().eval())
    plans = [
        predictor.bundle.plan.model_copy(update={"spacing_mm": spacing_mm})
        for spacing_mm in ((1.6, 0.8, 1.3), (0.9, 1.2, 0.7))
    ]
    first, other = (replace(predictor.bundle, plan=plan) for plan in plans)
    expected, found = (
        predict.predict(
            predict.load(first, predictor.device, Options("float32", crop=crop), others=(other,)),
            volume,
        ).label_map
        for crop in (False, True)
    )
    inside = volume.voxels[0] > 0
    assert 0.1 < (expected[inside] == 1).mean() < 0.9
    assert np.array_equal(found[inside], expected[inside])


def test_cropping_and_skipping_save_patches(stripped):
    predictor, volume = stripped
    seen = []
    predictor.network.register_forward_hook(lambda *given: seen.append(len(given[2])))
    counts = []
    for crop, skip in ((False, False), (False, True), (True, False), (True, True)):
        seen.clear()
        options = Options("float32", crop=crop, skip=skip)
        predict.predict(replace(predictor, options=options), volume)
        counts.append(sum(seen))
    # patches of 8, 4 apart: 40, 19 and 23 voxels take 9 x 4 x 5; 6, 11 and 6 take 1 x 2 x 1
    assert counts[0] == 180
    assert counts[2:] == [2, 2]
    assert 2 < counts[1] < 60


def test_mirroring_follows_the_task_and_quick_overlaps_less(stripped):
    bundle = stripped[0].bundle
    assert predict.tiling_of(bundle, Options(tta=True)).mirror_axes == (0,)
    assert predict.tiling_of(bundle, Options()).mirror_axes == ()
    assert predict.tiling_of(bundle, Options(quick=True)).overlap == 0.25
    assert predict.tiling_of(bundle, Options(overlap=0.7)).overlap == 0.7
    assert predict.tiling_of(bundle, Options()).overlap == 0.5


class Told(Threshold):
    """Answers the same logits everywhere."""

    def __init__(self, logits):
        super().__init__()
        self.logits = logits

    def forward(self, patches):
        answers = torch.tensor(self.logits)[None, :, None, None, None]
        return answers.expand(-1, -1, *patches.shape[2:]).clone()


def test_models_are_averaged_in_their_probabilities(hippocampus_task, make_plan, monkeypatch):
    # Of a, b and c the probabilities average to 0.513 and 0.487; the logits would favour the label:
    # 0.9 * 0.04 * 0.6 is less than 0.1 * 0.96 * 0.4.
    members = {"a": (0.9, 0.1, 1e-9), "b": (0.04, 0.96, 1e-9), "c": (0.6, 0.4, 1e-9)}

    def build(bundle):
        return Told(np.log(np.float32(members[bundle.folder.name])).tolist()).eval()

    monkeypatch.setattr(Bundle, "build_network", build)
    plans = [make_plan(), make_plan(spacing_mm=(0.9, 1.1, 1.0)), make_plan()]
    bundles_ = [
        Bundle(Path(name), hippocampus_task, plan)
        for name, plan in zip(members, plans, strict=True)
    ]
    voxels = np.random.default_rng(0).normal(100, 9, (1, 11, 9, 10)).astype(np.float32)
    volume = Volume(voxels, Grid((11, 9, 10), np.eye(4)))
    cpu, exact = torch.device("cpu"), Options("float32")
    both = predict.load(bundles_[0], cpu, exact, others=(bundles_[1],))
    _, pieces = predict.logit_pieces(both, predict.make_ready(both, volume))
    found = np.concatenate([piece.copy() for piece in pieces], axis=1)
    likely = np.exp(found - found.max(0))
    likely /= likely.sum(0)
    np.testing.assert_allclose(likely[:2, 5, 5, 5], [0.47, 0.53], atol=1e-4)
    assert (predict.predict(both, volume).label_map == 1).all()
    three = predict.load(bundles_[0], cpu, exact, others=tuple(bundles_[1:]))
    assert (predict.predict(three, volume).label_map == 0).all()  # 0.51 and 0.49


class Seeing(nn.Module):
    """Looks two voxels around, with weights of its own."""

    def __init__(self, seed):
        super().__init__()
        torch.manual_seed(seed)
        layers = [nn.Conv3d(1, 4, 3, padding=1), nn.Tanh(), nn.Conv3d(4, 3, 3, padding=1)]
        self.layers = nn.Sequential(*layers).requires_grad_(requires_grad=False)

    def forward(self, patches):
        return self.layers(patches)


def test_of_an_ensemble_no_two_networks_are_held_and_the_result_is_the_mean_by_hand(
    hippocampus_task, make_plan, monkeypatch
):
    held, read = [], []

    def build(bundle):
        assert not any(network() is not None for network in held), "two networks at once"
        read.append(bundle.folder.name)
        network = Seeing(ord(bundle.folder.name)).eval()
        held.append(weakref.ref(network))
        return network

    monkeypatch.setattr(Bundle, "build_network", build)
    monkeypatch.setattr(ensemble, "IN_MEMORY", 1000)
    plan = make_plan(patch=(8, 8, 8))
    models = [Bundle(Path(name), hippocampus_task, plan) for name in "abc"]
    voxels = np.random.default_rng(0).normal(100, 9, (1, 11, 19, 10)).astype(np.float32)
    volume = Volume(voxels, Grid((11, 19, 10), np.eye(4)))

    def logits_of(*chosen):
        loaded = predict.load(chosen[0], torch.device("cpu"), EXACT, others=chosen[1:])
        axis, pieces = predict.logit_pieces(loaded, predict.make_ready(loaded, volume))
        assert axis == 1
        return torch.from_numpy(np.concatenate([piece.copy() for piece in pieces], 1 + axis))

    alone = [logits_of(model).softmax(0) for model in models]
    read.clear()
    gc.disable()  # what is let go of must be gone at once
    try:
        found = logits_of(*models).softmax(0)
    finally:
        gc.enable()
    torch.testing.assert_close(found, sum(alone) / 3, atol=1e-5, rtol=0)
    assert max((found - one).abs().max() for one in alone) > 0.01
    assert read == ["a", "b", "c"]


def test_models_that_prepare_scans_alike_share_the_image(hippocampus_task, make_plan, monkeypatch):
    monkeypatch.setattr(Bundle, "build_network", lambda bundle: Seeing(len(bundle.folder.name)))
    prepared = []
    prepare = Bundle.prepare
    monkeypatch.setattr(
        Bundle, "prepare", lambda *given: prepared.append(given[0].folder.name) or prepare(*given)
    )
    coarse = make_plan(spacing_mm=(0.9, 1.1, 1.0))
    models = [
        Bundle(Path(name), hippocampus_task, plan)
        for name, plan in zip("abc", [make_plan(), make_plan(), coarse], strict=True)
    ]
    voxels = np.random.default_rng(0).normal(100, 9, (1, 11, 9, 10)).astype(np.float32)
    loaded = predict.load(models[0], torch.device("cpu"), EXACT, others=tuple(models[1:]))
    predict.predict(loaded, Volume(voxels, Grid((11, 9, 10), np.eye(4))))
    assert prepared == ["a", "c"]


@pytest.mark.slow
@pytest.mark.parametrize("others", [0, 1])
def test_a_precision_that_does_not_agree_is_given_up_for_the_whole_scan(
    untrained, scan, others, monkeypatch
):
    monkeypatch.setattr("medseg.inference.precision.has_bfloat16", lambda _: True)
    monkeypatch.setattr("medseg.inference.settling.judged", lambda *_, **__: (True, "differs"))
    cpu, more, volume = torch.device("cpu"), (untrained,) * others, formats.read(scan)
    proposed = predict.load(untrained, cpu, others=more)
    exact = predict.load(untrained, cpu, Options("float32"), others=more)
    found, expected = (
        predict.predict_measured(each, volume, keep_entropy=True) for each in (proposed, exact)
    )
    assert np.array_equal(found.segmentation.label_map, expected.segmentation.label_map)
    assert np.array_equal(found.entropy, expected.entropy)
    assert {n: each.name for n, each in proposed.settled.items()} == dict.fromkeys(
        range(1 + others), "float32"
    )
    assert proposed.settled[others].reason == "in bfloat16 differs"
