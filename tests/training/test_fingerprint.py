"""What the training cases are like."""

import nibabel
import numpy as np
import pytest

from medseg.data.cases import Case
from medseg.errors import DataError
from medseg.survey.measure import measure
from medseg.training import fingerprint


def _case(folder, name, image, labels, affine):
    for kind, voxels in (("image", image), ("label", labels)):
        nibabel.save(nibabel.Nifti1Image(voxels, affine), folder / f"{name}_{kind}.nii.gz")
    return Case(name, (folder / f"{name}_image.nii.gz",), folder / f"{name}_label.nii.gz")


def taken(cases, task):
    return fingerprint.of([measure(case, task) for case in cases], task)


@pytest.fixture
def ct_cases(tmp_path):
    """Two scans: values 0..99 under the label of the first, 100..199 under that of the second."""
    cases = []
    for number in range(2):
        image = np.full((10, 10, 4), -1000, np.int16)
        labels = np.zeros((10, 10, 4), np.uint8)
        image[:, :, 0] = np.arange(100).reshape(10, 10) + 100 * number
        labels[:, :, 0] = 1
        affine = np.diag([2.0, 1.0, 5.0, 1.0]) if number else np.diag([-1.0, 1.0, 5.0, 1.0])
        cases.append(_case(tmp_path, f"case{number}", image, labels, affine))
    return tuple(cases)


def test_ct_statistics_are_those_of_the_labelled_voxels(ct_cases, ct_task):
    found = taken(ct_cases, ct_task).windows["ct"]
    values = np.arange(200)
    assert found.mean == pytest.approx(99.5)
    assert found.deviation == pytest.approx(values.std(), rel=1e-6)
    assert found.lower == pytest.approx(0.995)  # 0.5 % of 199
    assert found.upper == pytest.approx(198.005)


def test_what_is_background_for_certain_does_not_count(ct_cases, ct_task):
    task = ct_task.model_copy(update={"outside": "air"})  # all but the first of four slices
    assert taken(ct_cases, task).shapes == [(10, 10, 1), (10, 10, 1)]


def test_sizes_and_spacings_are_along_the_ras_axes(ct_cases, ct_task):
    found = taken(ct_cases, ct_task)
    assert found.shapes == [(10, 10, 4), (10, 10, 4)]
    assert found.spacings_mm == [(1.0, 1.0, 5.0), (2.0, 1.0, 5.0)]


def test_data_without_any_label_are_refused(tmp_path, ct_task, generator):
    image = generator.normal(size=(4, 4, 4)).astype(np.float32)
    case = _case(tmp_path, "empty", image, np.zeros((4, 4, 4), np.uint8), np.eye(4))
    with pytest.raises(DataError, match="no training case has a labelled voxel"):
        taken((case,), ct_task)


def test_what_the_scans_and_labels_are_like_is_gathered(ct_cases, ct_task):
    found = taken(ct_cases, ct_task).experience
    (label,) = found.labels.values()
    assert (found.cases, found.spacing_mm[0].highest, label.present) == (2, 2.0, 1.0)
    assert label.volume_ml.highest == pytest.approx(1.0)  # 100 voxels of 2 x 1 x 5 mm
