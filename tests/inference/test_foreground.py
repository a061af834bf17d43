import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medseg.data.preprocessing import prepare
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
    cut = foreground.cropped(scan(voxels), stripped, TILING, ISOTROPIC)
    assert cut.box == (slice(18, 26), slice(9, 21), slice(0, 16))


def test_a_cut_is_measured_in_voxels_of_the_network(stripped):
    voxels = np.zeros((60, 40, 30), np.int16)
    voxels[20:30, 20:24, 10:12] = 5
    # i runs to the left in half millimetres, j up in millimetres, k to the front in two
    affine = np.array([[-0.5, 0, 0, 9], [0, 0, 2, 8], [0, 1, 0, 7], [0, 0, 0, 1.0]])
    cut = foreground.cropped(scan(voxels, affine), stripped, TILING, ISOTROPIC)
    assert [part.stop - part.start for part in cut.box] == [16, 8, 4]  # 8 mm each
    first = [part.start for part in cut.box]
    np.testing.assert_allclose(cut.volume.affine[:3, 3], affine[:3, :3] @ first + affine[:3, 3])
    assert np.array_equal(cut.volume.voxels[0], voxels[cut.box])


@given(
    extent=st.tuples(*[st.integers(1, 40)] * 3),
    corner=st.tuples(*[st.integers(0, 39)] * 3),
    size=st.tuples(*[st.integers(1, 40)] * 3),
    spacing=st.sampled_from([0.7, 1.0, 1.9]),
)
def test_a_cut_holds_all_that_is_inside(extent, corner, size, spacing, stripped_task):
    voxels = np.zeros(extent, np.int16)
    start = [min(c, n - 1) for c, n in zip(corner, extent, strict=True)]
    voxels[tuple(slice(s, s + n) for s, n in zip(start, size, strict=True))] = 1
    cut = foreground.cropped(scan(voxels), stripped_task, TILING, (spacing,) * 3)
    assert cut.volume.voxels.sum() == voxels.sum()
    back = cut.whole(_segmentation(cut, stripped_task))
    assert np.array_equal(back.label_map, voxels)


@pytest.fixture(scope="module")
def stripped_task():
    from medseg import task as tasks

    return tasks.read("hippocampus").model_copy(update={"outside": "zero"})


def _segmentation(cut, task):
    from medseg.segmentation import Segmentation

    return Segmentation(cut.volume.voxels[0].astype(np.uint8), cut.volume.grid, task)


def test_nothing_is_cut_where_the_task_does_not_say_or_all_is_outside(hippocampus_task, stripped):
    empty = scan(np.zeros((9, 9, 9), np.int16))
    for task in (hippocampus_task, stripped):
        cut = foreground.cropped(empty, task, TILING, ISOTROPIC)
        assert cut.volume is empty


def test_air_is_below_900_hu_in_every_channel(hippocampus_task):
    task = hippocampus_task.model_copy(update={"outside": "air"})
    voxels = np.array([[[[-1000, -901, -900, 40]]], [[[-1000, -1000, -1000, -1000]]]], np.int16)
    found = foreground.inside_of(Volume(voxels, Grid((1, 1, 4), np.eye(4))), task)
    assert found.tolist() == [[[False, False, True, True]]]


def test_a_voxel_of_the_network_is_outside_if_none_of_the_scan_s_near_it_is_inside(
    stripped, make_plan
):
    voxels = np.zeros((12, 6, 6), np.int16)
    voxels[3] = 7
    plan = make_plan(spacing_mm=(0.5, 1.0, 1.0))
    cut = foreground.whole(scan(voxels))
    prepared = prepare(cut.volume, stripped, plan)
    found = foreground.outside_of(cut, prepared, stripped)
    assert found.shape == (24, 6, 6)
    # voxel 3 is at 3; those of the network are at -0.25, 0.25, 0.75 and so on: 2.25 to 3.75 touch
    assert (np.flatnonzero(~found[:, 0, 0]) == [5, 6, 7, 8]).all()


def test_background_is_certain_of_itself(hippocampus_task, phantom_task):
    assert foreground.background_logits(hippocampus_task).tolist() == [30, -30, -30]
    assert foreground.background_logits(phantom_task).tolist() == [-30, -30, -30]
