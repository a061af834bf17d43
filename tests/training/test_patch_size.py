"""Patches and batches, beside nnU-Net's own planner."""

import math

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from medseg.training import patch_size
from medseg.training.memory_need import Need

SPACINGS = st.tuples(*[st.sampled_from([0.6, 0.8, 1.0, 1.2, 1.5, 2.0])] * 3)


def nnunets_patch_and_batch(median, spacing_mm, *, voxels, cases):
    """What nnU-Net's planner decides where a voxel of a patch needs one byte."""
    from nnunetv2.experiment_planning.experiment_planners.default_experiment_planner import (
        ExperimentPlanner,
    )
    from torch import nn

    class Planner(ExperimentPlanner):
        def __init__(self):  # its own would look for data on disk
            self.dataset_json = {"channel_names": {"0": "MRI"}, "labels": {"background": 0}}
            self.dataset_fingerprint = {"median_relative_size_after_cropping": 1.0}
            self.UNet_class = nn.Identity
            self.UNet_base_num_features = self.UNet_max_features_3d = 8
            self.UNet_max_features_2d = 8
            self.UNet_featuremap_min_edge_length = 4
            self.UNet_blocks_per_stage_encoder = self.UNet_blocks_per_stage_decoder = (1,) * 20
            self.UNet_min_batch_size = self.UNet_reference_val_corresp_bs_3d = 2
            self.UNet_vram_target_GB = self.UNet_reference_val_corresp_GB = 8
            self.UNet_reference_val_3d = voxels
            self.max_dataset_covered = 0.05
            self.preprocessor_name = ""
            self.static_estimate_VRAM_usage = lambda shape, *_: math.prod(map(int, shape))

    plan = Planner().get_plans_for_configuration(
        np.array(spacing_mm), np.array(median), "", float(math.prod(median)) * cases, {}
    )
    return tuple(int(n) for n in plan["patch_size"]), plan["batch_size"]


@settings(deadline=None, max_examples=40)
@given(
    median=st.tuples(*[st.integers(64, 300)] * 3),
    spacing_mm=SPACINGS,
    side=st.integers(80, 180),
)
def test_patch_and_batch_are_those_of_nnunets_planner(median, spacing_mm, side):
    voxels = side**3
    expected, batch = nnunets_patch_and_batch(median, spacing_mm, voxels=voxels, cases=100)
    found = patch_size.fitting(
        median,
        spacing_mm,
        lambda patch: Need(0.0, float(math.prod(patch))),
        budget=2.0 * voxels,
        worthwhile=10**9,
        batch=2,
    )
    if min(expected) > patch_size.SMALLEST_AXIS:  # shorter axes stay with us
        assert found.patch == expected
        # theirs is rounded, so that it may need more than there is
        ours = patch_size.largest_batch(found, median, cases=100, budget=2.0 * voxels)
        assert ours in (batch, batch - 1)


@settings(deadline=None, max_examples=60)
@given(
    median=st.tuples(*[st.integers(1, 400)] * 3),
    spacing_mm=st.tuples(*[st.sampled_from([0.5, 1.0, 1.5, 3.0, 5.0, 10.0])] * 3),
    budget=st.integers(1, 10**8),
    batch=st.integers(1, 4),
)
def test_a_patch_fits_the_memory_or_is_as_small_as_patches_get(median, spacing_mm, budget, batch):
    def need(patch):
        return Need(1e5, 4.0 * math.prod(patch))

    found = patch_size.fitting(
        median, spacing_mm, need, budget=budget, worthwhile=10**6, batch=batch
    )
    fits = need(found.patch).of(found.batch) <= budget
    assert fits or (max(found.patch) <= patch_size.SMALLEST_AXIS and found.batch == 1)
    assert found.batch in (1, batch)
    assert math.prod(found.patch) <= 10**6
    assert found.need == need(found.patch)
    whole = patch_size.padded(median, spacing_mm)
    assert all(n <= max(m, 32) for n, m in zip(found.patch, whole, strict=True))


@pytest.mark.parametrize(
    ("median", "spacing_mm", "patch"),
    [
        # ACDC: 237 is pooled five times, 18 twice
        ((237, 208, 18), (1.5625, 1.5625, 5.0), (256, 224, 20)),
        ((36, 50, 35), (1.0, 1.0, 1.0), (40, 56, 40)),
        ((240, 240, 155), (1.0, 1.0, 1.0), (256, 256, 160)),
        # CT of 390 x 390 x 441 mm: 256^3 voxels of this aspect are 405 x 405 x 103, which 16 divide
        ((512, 512, 147), (0.76, 0.76, 3.0), (448, 448, 112)),
    ],
)
def test_a_patch_begins_at_the_median_case(median, spacing_mm, patch):
    assert patch_size.largest(median, spacing_mm) == patch


def test_a_twentieth_of_the_training_voxels_is_the_most():
    sized = patch_size.Sized((40, 40, 40), 2, Need(100.0, 10.0))
    assert patch_size.largest_batch(sized, (40, 40, 40), cases=100, budget=1e9) == 5
    assert patch_size.largest_batch(sized, (40, 40, 40), cases=100, budget=139.0) == 3
    assert patch_size.largest_batch(sized, (40, 40, 40), cases=4, budget=1e9) == 2
