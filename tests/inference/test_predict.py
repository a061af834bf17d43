import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from torch import nn

from medseg import bundle as bundles
from medseg.bundle import Bundle
from medseg.data import preprocessing
from medseg.data.cases import Case, read_image
from medseg.errors import ModelError
from medseg.inference import predict
from medseg.recipe import Inference
from medseg.volume import Grid, Volume


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
