import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from monai.metrics import compute_hausdorff_distance
from surface_distance import metrics as surface_distance

from medseg.evaluation.metrics import hd95
from medseg.evaluation.pair import Pair

SPACINGS_MM = [(1.0, 1.0, 1.0), (1.4, 1.4, 10.0), (0.5, 2.0, 3.0)]
both_masks = hnp.arrays(np.bool_, (2, 5, 6, 4))


def empty(*shape):
    return np.zeros(shape or (12, 12, 12), dtype=bool)


def by_brute_force(reference, prediction, spacing_mm):
    """HD95 from its definition, in plain Python."""

    def surface(mask):
        inside = {tuple(place) for place in np.argwhere(mask).tolist()}
        steps = [(1, 0, 0), (-1, 0, 0), (0, 1, 0), (0, -1, 0), (0, 0, 1), (0, 0, -1)]
        return [
            place
            for place in inside
            if any(tuple(map(sum, zip(place, step, strict=True))) not in inside for step in steps)
        ]

    def percentile_95(values):
        values = sorted(values)
        position = 0.95 * (len(values) - 1)
        low = int(position)
        high = min(low + 1, len(values) - 1)
        return values[low] + (position - low) * (values[high] - values[low])

    def distance(one, other):
        return math.dist(
            [a * s for a, s in zip(one, spacing_mm, strict=True)],
            [b * s for b, s in zip(other, spacing_mm, strict=True)],
        )

    first, second = surface(reference), surface(prediction)
    return max(
        percentile_95([min(distance(start, end) for end in ends) for start in starts])
        for starts, ends in ((first, second), (second, first))
    )


def test_two_voxels_three_apart_along_i_are_six_mm_apart():
    reference, prediction = empty(), empty()
    reference[2, 5, 5] = prediction[5, 5, 5] = True
    assert hd95.compute(Pair(reference, prediction, (2.0, 1.0, 1.0))) == 6.0


def test_an_axis_of_thick_slices_counts_in_millimetres():
    reference, prediction = empty(), empty()
    reference[5, 5, 5] = prediction[5, 5, 6] = True
    assert hd95.compute(Pair(reference, prediction, (1.4, 1.4, 10.0))) == 10.0


def test_the_percentile_is_interpolated_linearly():
    # Reference voxels at 0..10 along i, prediction at 0: distances 0, 1, ..., 10.
    # The 95th percentile of 11 values lies at position 9.5: 9.5. The way back is 0.
    reference, prediction = empty(), empty()
    reference[0:11, 0, 0] = True
    prediction[0, 0, 0] = True
    assert hd95.compute(Pair(reference, prediction, (1.0, 1.0, 1.0))) == pytest.approx(9.5)


def test_the_larger_direction_counts_and_they_are_not_pooled():
    # One far voxel among 40 predicted: its direction has 39 zeros and one 8, so position 37.05
    # gives 0; the reference's single voxel is covered. Pooled or not, 0. The other way round,
    # two reference voxels of which one is far: position 0.95 between 0 and 8 gives 7.6.
    reference, prediction = empty(20, 20, 20), empty(20, 20, 20)
    prediction[0:20, 0, 0] = prediction[0:20, 1, 0] = True
    reference[3, 0, 0] = True
    reference[3, 0, 8] = True
    # reference -> prediction: 0 and 8; prediction -> reference: up to 16 along i at j = 1
    back = sorted(math.hypot(i - 3, j) for i in range(20) for j in (0, 1))
    expected = max(7.6, back[37] + 0.05 * (back[38] - back[37]))
    value = hd95.compute(Pair(reference, prediction, (1.0, 1.0, 1.0)))
    assert value == pytest.approx(expected)


def test_a_hole_has_a_surface_too():
    # A cube of 7 against the same with a hole in its centre: the hole's six neighbours are
    # 2 voxels from the outer surface (3 from the centre, less 1): 218 zeros and six 2s, of which
    # the 95th percentile at position 211.85 is 0. With unlike masks swapped it stays 0.
    reference = empty(9, 9, 9)
    reference[1:8, 1:8, 1:8] = True
    prediction = reference.copy()
    prediction[4, 4, 4] = False
    assert hd95.compute(Pair(reference, prediction, (1.0, 1.0, 1.0))) == 0.0
    distances = Pair(reference, prediction, (1.0, 1.0, 1.0)).distances_mm[1]
    assert sorted(distances.tolist())[-7:] == [0.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0]


def test_masks_at_the_border_of_the_image_have_a_surface_there():
    # The whole image of 5 cubed against its centre voxel: the centre is 2 from the surface;
    # the 98 surface voxels are 2 to sqrt(12) away, the eight corners are more than 5 % of them.
    reference = np.ones((5, 5, 5), dtype=bool)
    prediction = empty(5, 5, 5)
    prediction[2, 2, 2] = True
    value = hd95.compute(Pair(reference, prediction, (1.0, 1.0, 1.0)))
    assert value == pytest.approx(math.sqrt(12))


@settings(max_examples=60)
@given(both_masks, st.sampled_from(SPACINGS_MM))
def test_it_agrees_with_brute_force(masks, spacing_mm):
    if masks[0].any() and masks[1].any():
        value = hd95.compute(Pair(masks[0], masks[1], spacing_mm))
        assert value == pytest.approx(by_brute_force(masks[0], masks[1], spacing_mm), abs=1e-9)


# MONAI 1.6 calls itself with an argument it has deprecated.
@pytest.mark.filterwarnings("ignore:.*always_return_as_numpy:FutureWarning")
@pytest.mark.parametrize("spacing_mm", SPACINGS_MM)
@pytest.mark.parametrize("density", [0.02, 0.3, 0.8])
def test_it_agrees_with_monai(rng, spacing_mm, density):
    masks = rng.random((2, 12, 11, 5)) < density
    tensors = [torch.from_numpy(mask[None, None].astype(np.float32)) for mask in masks]
    expected = compute_hausdorff_distance(
        *tensors, include_background=True, percentile=95, spacing=list(spacing_mm)
    )
    value = hd95.compute(Pair(masks[0], masks[1], spacing_mm))
    assert value == pytest.approx(float(expected), rel=1e-5)


# surface-distance 0.1 imports from namespaces that SciPy has deprecated.
@pytest.mark.filterwarnings("ignore:Please import .*scipy.ndimage:DeprecationWarning")
@pytest.mark.parametrize("spacing_mm", SPACINGS_MM)
def test_it_agrees_with_surface_distance_on_parallel_plates(spacing_mm):
    # Plates of three slices, five slices apart: half of each surface is five slices away, by
    # voxel centres as by surface-distance's elements between the voxels, whatever their weight.
    reference, prediction = empty(20, 20, 12), empty(20, 20, 12)
    reference[:, :, 1:4] = prediction[:, :, 6:9] = True
    distances = surface_distance.compute_surface_distances(reference, prediction, spacing_mm)
    value = hd95.compute(Pair(reference, prediction, spacing_mm))
    assert value == pytest.approx(surface_distance.compute_robust_hausdorff(distances, 95))
    assert value == pytest.approx(5 * spacing_mm[2])
