import numpy as np
import pytest

from medseg.segmentation import FileValues, Segmentation, label_map_dtype
from medseg.volume import Grid


def made(task, values, affine=None):
    label_map = np.array(values, dtype=np.uint8).reshape(-1, 1, 1)
    return Segmentation(
        label_map, Grid(label_map.shape, np.eye(4) if affine is None else affine), task
    )


def test_a_volume_is_counted_in_millilitres(hippocampus_task):
    affine = np.diag([-2.0, 3.0, 5.0, 1.0])  # 30 cubic millimetres
    segmentation = made(hippocampus_task, [1, 1, 1, 2, 0, 0], affine)
    assert segmentation.volume_ml("anterior") == pytest.approx(0.09)
    assert segmentation.volume_ml("posterior") == pytest.approx(0.03)


def test_a_sheared_voxel_has_the_volume_of_its_determinant(hippocampus_task):
    affine = np.eye(4)
    affine[0, 1] = 0.7  # a shear changes no volume
    assert made(hippocampus_task, [1], affine).volume_ml("anterior") == pytest.approx(0.001)


def test_an_absent_label_has_no_volume(hippocampus_task):
    assert made(hippocampus_task, [0]).volume_ml("anterior") == 0.0


def test_an_unknown_value_is_refused(hippocampus_task):
    with pytest.raises(ValueError, match=r"values \[3, 7\] are no labels of task hippocampus"):
        made(hippocampus_task, [0, 3, 7])


def test_a_label_map_of_another_shape_is_refused(hippocampus_task):
    with pytest.raises(ValueError, match="does not fill a grid"):
        Segmentation(
            np.zeros((1, 2, 3), dtype=np.uint8), Grid((3, 2, 1), np.eye(4)), hippocampus_task
        )


def test_the_smallest_type_that_holds_all_values(hippocampus_task):
    assert label_map_dtype(hippocampus_task) is np.uint8
    labels = dict(hippocampus_task.labels)
    labels["anterior"] = labels["anterior"].model_copy(update={"value": 256})
    assert label_map_dtype(hippocampus_task.model_copy(update={"labels": labels})) is np.uint16


def test_on_another_grid_each_voxel_takes_the_nearest_label(hippocampus_task):
    label_map = np.array([1, 2], dtype=np.uint8).reshape(2, 1, 1)
    coarse = Segmentation(label_map, Grid((2, 1, 1), np.eye(4)), hippocampus_task)
    shifted = np.diag([0.5, 1.0, 1.0, 1.0])
    shifted[0, 3] = -0.25
    fine = coarse.on(Grid((4, 1, 1), shifted))
    assert fine.label_map.ravel().tolist() == [1, 1, 2, 2]
    assert fine.grid.spacing_mm == (0.5, 1.0, 1.0)


def test_the_same_labels_are_told_in_another_task_s_values(hippocampus_task):
    labels = {
        name: label.model_copy(update={"value": 10 * label.value})
        for name, label in hippocampus_task.labels.items()
    }
    other = hippocampus_task.model_copy(update={"labels": labels})
    found = made(hippocampus_task, [0, 1, 2, 1]).with_values_of(other)
    assert found.label_map.ravel().tolist() == [0, 10, 20, 10]
    assert found.task is other
    fewer = hippocampus_task.model_copy(update={"labels": {"anterior": labels["anterior"]}})
    with pytest.raises(ValueError, match=r"lacks the labels \['posterior'\]"):
        made(hippocampus_task, [0]).with_values_of(fewer)


def test_values_of_a_file_are_exchanged_at_once_and_not_in_turn(hippocampus_task):
    voxels = np.array([0, 1, 2, 3, 9]).reshape(-1, 1, 1)
    exchanged = FileValues(((1, 2), (2, 1), (3, 0)))
    assert exchanged.applied(voxels, hippocampus_task).ravel().tolist() == [0, 2, 1, 0, 9]
    others = FileValues(((3, 1),), others_are_background=True)
    assert others.applied(voxels, hippocampus_task).ravel().tolist() == [0, 1, 2, 1, 0]
