"""Which axes are halved, and when."""

import hypothesis.strategies as st
import pytest
from hypothesis import example, given

from medseg.blocks import pooling

LENGTHS = st.tuples(*[st.integers(1, 300)] * 3)
MILLIMETRES = st.tuples(*[st.sampled_from([0.5, 0.7, 1.0, 1.5, 1.99, 2.0, 3.0, 5.0, 10.0])] * 3)


@given(patch=LENGTHS, spacing_mm=MILLIMETRES)
@example(patch=(20, 256, 224), spacing_mm=(5.0, 1.5625, 1.5625))
@example(patch=(12, 8, 8), spacing_mm=(1.0, 1.0, 1.0))
def test_strides_and_kernels_are_those_of_nnunets_planner(patch, spacing_mm):
    from nnunetv2.experiment_planning.experiment_planners.network_topology import (
        get_pool_and_conv_props,
    )

    _, strides, kernels, _, _ = get_pool_and_conv_props(spacing_mm, patch, 4, 999999)
    ours = pooling.nnunet_strides(patch, spacing_mm)
    assert tuple(ours) == strides[1:]  # theirs begin with the image itself
    assert tuple(pooling.nnunet_kernels(ours, spacing_mm)) == kernels


def test_axes_are_halved_while_they_have_four_tokens():
    assert pooling.fitting_strides((20, 5, 3), 3) == [(2, 2, 1), (2, 1, 1), (2, 1, 1)]


def test_thick_slices_wait_until_the_other_axes_have_come_up_to_them():
    # 10 1.5 1.5 mm, 10 3 3, 10 6 6, 20 12 12
    strides = pooling.fitting_strides((10, 224, 192), 3, (10.0, 1.5, 1.5))
    assert strides == [(1, 2, 2), (1, 2, 2), (2, 2, 2)]


def test_an_axis_that_is_too_short_holds_nothing_up():
    # one slice of 0.5 mm; the others are not thick beside each other
    assert pooling.fitting_strides((1, 64, 64), 2, (0.5, 2.0, 2.0)) == [(1, 2, 2)] * 2


@pytest.mark.parametrize(
    ("spacing_mm", "most", "embedding", "token_mm"),
    [
        ((1.0, 1.0, 1.0), (4, 4, 4), (4, 4, 4), (4.0, 4.0, 4.0)),
        ((1.0, 1.0, 1.0), (1, 4, 4), (1, 4, 4), (4.0, 4.0, 4.0)),
        ((5.0, 1.0, 1.0), (4, 4, 4), (1, 4, 4), (5.0, 4.0, 4.0)),
        ((2.5, 0.75, 0.75), (4, 4, 4), (2, 4, 4), (5.0, 3.0, 3.0)),
        ((2.5, 0.75, 0.75), (2, 2, 2), (1, 2, 2), (2.5, 1.5, 1.5)),
        ((1.0, 1.0, 1.0), (1, 1, 1), (1, 1, 1), (1.0, 1.0, 1.0)),
    ],
)
def test_tokens_take_fewer_voxels_across_thick_slices(spacing_mm, most, embedding, token_mm):
    found = pooling.fitting_embedding((64, 64, 64), spacing_mm, most=most)
    assert found == (embedding, token_mm)
