import numpy as np

from medseg import regions
from medseg.evaluation.pair import Status
from medseg.evaluation.region_pairs import pairs
from medseg.segmentation import Segmentation
from medseg.volume import Grid

GRID = Grid((9, 8, 7), np.diag([1.4, 0.7, 10.0, 1.0]))


def segmentation(task, **places):
    label_map = np.zeros(GRID.shape, dtype=np.uint8)
    for label, place in places.items():
        label_map[place] = task.labels[label].value
    return Segmentation(label_map, GRID, task)


def test_a_region_is_cut_to_the_box_of_both_masks(hippocampus_task):
    found = pairs(
        segmentation(hippocampus_task, anterior=(1, 2, 3), posterior=(8, 7, 6)),
        segmentation(hippocampus_task, anterior=(4, 2, 5)),
    )
    anterior, posterior = found["anterior"], found["posterior"]
    assert anterior.reference.shape == (4, 1, 3)
    assert anterior.reference[0, 0, 0]
    assert anterior.prediction[3, 0, 2]
    assert posterior.status is Status.MISSED


def test_the_diagonal_is_that_of_the_whole_image(hippocampus_task):
    one = segmentation(hippocampus_task, anterior=(1, 2, 3))
    found = pairs(one, one)
    expected = np.linalg.norm([9 * 1.4, 8 * 0.7, 7 * 10.0])
    assert np.allclose([pair.diagonal_mm for pair in found.values()], expected)
    assert found["posterior"].status is Status.ABSENT


def test_masks_are_those_of_the_whole_image_where_regions_overlap(phantom_task, rng):
    values = [0, *(label.value for label in phantom_task.labels.values())]
    label_maps = rng.choice(values, size=(2, *GRID.shape)).astype(np.uint8)
    one, other = (Segmentation(label_map, GRID, phantom_task) for label_map in label_maps)
    for region, pair in pairs(one, other).items():
        whole = regions.mask_of(one.label_map, phantom_task, region)
        assert pair.sizes[0] == np.count_nonzero(whole)
        assert pair.shared == np.count_nonzero(
            whole & regions.mask_of(other.label_map, phantom_task, region)
        )


def test_the_tolerance_is_the_task_s(hippocampus_task):
    one = segmentation(hippocampus_task, anterior=(1, 2, 3))
    assert pairs(one, one)["anterior"].tolerance_mm == 2.0
    strict = hippocampus_task.model_copy(update={"tolerance_mm": 0.5})
    assert pairs(segmentation(strict, anterior=(1, 2, 3)), one)["anterior"].tolerance_mm == 0.5
