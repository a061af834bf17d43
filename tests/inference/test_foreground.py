import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medseg import task as tasks
from medseg.data.preprocessing import prepare, restore
from medseg.inference import foreground
from medseg.inference.sliding_window import Tiling
from medseg.volume import Grid, Volume

TILING = Tiling((8, 8, 8), 0.5)
ISOTROPIC = (1.0, 1.0, 1.0)


def scan(values, affine=None):
    return Volume(values[None], Grid(values.shape, np.eye(4) if affine is None else affine))


@pytest.fixture
def stripped(hippocampus_task):
    return hippocampus_task.model_copy(update={"outside": "zero"})


def test_a_cut_is_widened_as_far_as_it_costs_no_patch(stripped):
    voxels = np.zeros((40, 40, 40), np.int16)
    voxels[20:23, 10:19, 1:14] = 5  # 3, 9 and 13 voxels: patches of 8, 4 apart, cover 8, 12 and 16
    found = foreground.kept(scan(voxels), stripped, TILING, ISOTROPIC)
    assert found == (slice(18, 26), slice(9, 21), slice(0, 16))


def test_a_cut_is_made_in_voxels_of_the_network(stripped):
    voxels = np.zeros((60, 40, 30), np.int16)
    voxels[20:30, 20:24, 10:12] = 5
    # i runs to the left in half millimetres, j up in millimetres, k to the front in two
    affine = np.array([[-0.5, 0, 0, 9], [0, 0, 2, 8], [0, 1, 0, 7], [0, 0, 0, 1.0]])
    found = foreground.kept(scan(voxels, affine), stripped, TILING, ISOTROPIC)
    # Voxels n of the network lie to the right at 2n + 1/2 of 60 - i, where 30 to 39 hold something:
    # n = 15 to 19 lie among these. Scan voxel 30 is made of the network's 14.75, 39 of 19.25, so
    # that it is 14 to 20, 7 voxels, of which a patch covers 8. To the front they lie at n/2 - 1/4
    # of k, which is 10 and 11: from 19 (9.25) to 24 (11.75), 6 voxels. Upwards they are the same.
    assert found == (slice(14, 22), slice(18, 26), slice(18, 26))


@given(
    extent=st.tuples(*[st.integers(1, 40)] * 3),
    corner=st.tuples(*[st.integers(0, 39)] * 3),
    size=st.tuples(*[st.integers(1, 40)] * 3),
    spacing=st.sampled_from([0.7, 1.0, 1.9]),
)
def test_a_cut_holds_all_that_is_inside(extent, corner, size, spacing, stripped_task, make_plan):
    voxels = np.zeros(extent, np.int16)
    start = [min(c, n - 1) for c, n in zip(corner, extent, strict=True)]
    voxels[tuple(slice(s, s + n) for s, n in zip(start, size, strict=True))] = 1
    volume = scan(voxels)
    plan = make_plan(spacing_mm=(spacing,) * 3)
    place = foreground.kept(volume, stripped_task, TILING, plan.spacing_mm)
    prepared = prepare(volume, stripped_task, plan, place)
    everywhere = np.zeros((3, *prepared.image.shape[1:]), np.float32)
    everywhere[1] = 9
    back = restore([everywhere], prepared, stripped_task).label_map
    assert back[voxels > 0].all()


@pytest.fixture(scope="module")
def stripped_task():
    return tasks.read("hippocampus").model_copy(update={"outside": "zero"})


SPACINGS = st.tuples(*[st.sampled_from([0.4, 0.7, 1.0, 1.3, 2.6])] * 3)
TURNED = np.array([[0, 0, -1.1, 5], [0.9, 0, 0, 6], [0, -1.0, 0, 7], [0, 0, 0, 1.0]])


@given(
    extent=st.tuples(*[st.integers(8, 40)] * 3),
    corner=st.tuples(*[st.integers(0, 39)] * 3),
    spacing_mm=SPACINGS,
    outside=st.sampled_from(["zero", "air"]),
    seed=st.integers(0, 99),
)
def test_a_cut_changes_nothing_of_what_is_kept(
    extent, corner, spacing_mm, outside, seed, stripped_task, make_plan
):
    rng = np.random.default_rng(seed)
    task = stripped_task.model_copy(update={"outside": outside})
    voxels = np.full(extent, 0 if outside == "zero" else -1000, np.int16)
    start = [min(c, n - 1) for c, n in zip(corner, extent, strict=True)]
    block = voxels[tuple(slice(s, s + 9) for s in start)]
    block[:] = rng.integers(1, 300, block.shape)
    volume, plan = scan(voxels, TURNED), make_plan(spacing_mm=spacing_mm)
    place = foreground.kept(volume, task, TILING, plan.spacing_mm)
    whole, part = prepare(volume, task, plan), prepare(volume, task, plan, place)
    np.testing.assert_array_equal(part.image, whole.image[(slice(None), *place)])
    logits = np.stack([np.full_like(whole.image[0], 0.3), whole.image[0], -whole.image[0]])
    expected = restore([logits], whole, task).label_map
    kept = restore([logits[(slice(None), *place)]], part, task).label_map
    assert np.array_equal(kept[voxels > 0], expected[voxels > 0])
    assert set(np.unique(kept[kept != expected])) <= {0}  # what is cut off
    masks = [foreground.outside_of(volume, prepared, task) for prepared in (whole, part)]
    assert np.array_equal(masks[1], masks[0][place])
    away = np.ones(masks[0].shape, bool)
    away[place] = False
    assert masks[0][away].all()


def test_what_other_intensities_are_brought_to_does_not_depend_on_the_cut(make_plan):
    task = tasks.read("brats")
    rng = np.random.default_rng(4)
    voxels = np.zeros((4, 30, 20, 25), np.int16)
    for channel in range(4):  # each has zeros of its own inside the foreground
        voxels[channel, 5 + channel : 17, 3:11, 6:18] = rng.gamma(2, 90, (12 - channel, 8, 12))
    volume, plan = Volume(voxels, Grid((30, 20, 25), TURNED)), make_plan(spacing_mm=(1.3, 0.8, 2))
    place = foreground.kept(volume, task, TILING, plan.spacing_mm)
    whole, part = prepare(volume, task, plan), prepare(volume, task, plan, place)
    np.testing.assert_array_equal(part.image, whole.image[(slice(None), *place)])
    assert part.image.size < whole.image.size / 3


def test_nothing_is_cut_where_the_task_does_not_say_or_all_is_outside(hippocampus_task, stripped):
    empty = scan(np.zeros((9, 9, 9), np.int16))
    for task in (hippocampus_task, stripped):
        assert foreground.kept(empty, task, TILING, ISOTROPIC) is None


def test_air_is_below_900_hu_in_every_channel(hippocampus_task):
    task = hippocampus_task.model_copy(update={"outside": "air"})
    voxels = np.array([[[[-1000, -901, -900, 40]]], [[[-1000, -1000, -1000, -1000]]]], np.int16)
    found = foreground.inside_of(voxels, task)
    assert found.tolist() == [[[False, False, True, True]]]


def test_a_voxel_of_the_network_is_outside_if_none_of_the_scan_s_near_it_is_inside(
    stripped, make_plan
):
    voxels = np.zeros((12, 6, 6), np.int16)
    voxels[3] = 7
    plan = make_plan(spacing_mm=(0.5, 1.0, 1.0))
    prepared = prepare(scan(voxels), stripped, plan)
    found = foreground.outside_of(scan(voxels), prepared, stripped)
    assert found.shape == (24, 6, 6)
    # voxel 3 is at 3; those of the network are at -0.25, 0.25, 0.75 and so on: 2.25 to 3.75 touch
    assert (np.flatnonzero(~found[:, 0, 0]) == [5, 6, 7, 8]).all()


def test_background_is_certain_of_itself(hippocampus_task, phantom_task):
    assert foreground.background_logits(hippocampus_task).tolist() == [30, -30, -30]
    assert foreground.background_logits(phantom_task).tolist() == [-30, -30, -30]


def test_a_model_is_trained_on_what_it_will_be_applied_to(make_plan):
    task = tasks.read("brats")
    plan = make_plan(patch=(8, 8, 8), spacing_mm=(1.0, 1.0, 1.0))
    voxels = np.zeros((4, 30, 31, 32), np.float32)
    voxels[2, 10:15, 11:24, 3:30] = 1
    volume = Volume(voxels, Grid((30, 31, 32), np.eye(4)))
    tiling = Tiling(plan.patch, plan.inference.overlap)
    found = foreground.kept_in_training(volume, task, plan)
    assert found == foreground.kept(volume, task, tiling, (1.0, 1.0, 1.0))
    assert (found[0].start, found[0].stop - found[0].start) == (9, 8)
