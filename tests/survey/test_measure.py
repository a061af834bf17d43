"""What is measured of a case."""

import nibabel
import numpy as np
import pytest

from medseg.data import layouts
from medseg.data.cases import Case
from medseg.errors import DataError, ImageError
from medseg.survey.measure import intensities, measure, require_labelled, thumbnail
from medseg.volume import Grid, Volume
from tests.fake_data import FORMS, save


@pytest.fixture
def case(tmp_path, put):
    """2x1x3 mm voxels, first axis to the left; label 1 in two voxels, 2 in one."""
    affine = np.diag([-2.0, 1.0, 3.0, 1.0])
    voxels = np.arange(1, 61, dtype=np.int16).reshape(3, 4, 5)
    labels = np.zeros((3, 4, 5), np.uint8)
    labels[0, 0, 0] = labels[2, 0, 0] = 1
    labels[1, 3, 4] = 2
    image = put(tmp_path / "a.nii.gz", voxels, affine)
    return Case("a", (image,), put(tmp_path / "a_seg.nii.gz", labels, affine))


def test_a_case_is_measured_in_millimetres_along_the_ras_axes(case, hippocampus_task):
    found = measure(case, hippocampus_task)
    assert found.problems == ()
    assert found.shape == (3, 4, 5)
    assert found.spacing_mm == (2.0, 1.0, 3.0)
    assert found.orientation == "LAS"
    assert found.file_values == {0: 57, 1: 2, 2: 1}
    assert found.volumes_ml == pytest.approx({"anterior": 0.012, "posterior": 0.006})
    assert found.centres_mm["anterior"] == pytest.approx((-2.0, 0.0, 0.0))
    assert found.centres_mm["posterior"] == pytest.approx((-2.0, 3.0, 12.0))
    assert found.intensities["t1"].highest == 60
    assert found.samples == {}
    assert found.inside is None  # the task says nothing of what lies outside


def test_equal_images_have_equal_digests(case, hippocampus_task, put):
    before = measure(case, hippocampus_task).digest
    assert measure(case, hippocampus_task).digest == before
    put(case.images[0], np.arange(60, dtype=np.int16).reshape(3, 4, 5))
    assert measure(case, hippocampus_task).digest != before


def test_what_is_wrong_is_noted_and_the_label_map_is_read_all_the_same(case, hippocampus_task):
    case.images[0].write_bytes(b"cut off")
    found = measure(case, hippocampus_task)
    (problem,) = found.problems
    assert isinstance(problem.error(), ImageError)
    assert str(case.images[0]) in str(problem.error())
    assert found.file_values == {0: 57, 1: 2, 2: 1}
    assert found.shape is None


def test_values_are_counted_although_the_task_lacks_them(case, hippocampus_task, put):
    put(case.label, np.full((3, 4, 5), 9, np.uint8), np.diag([-2.0, 1.0, 3.0, 1.0]))
    found = measure(case, hippocampus_task)
    assert found.file_values == {9: 60}
    assert isinstance(found.problems[0].error(), DataError)


def test_contrast_and_skewness_do_not_depend_on_the_scale(rng):
    channel = rng.gamma(2.0, size=(20, 20, 20))
    inside = channel > np.percentile(channel, 90)
    one = intensities(channel, inside, is_ct=False)
    other = intensities(700 * channel, inside, is_ct=False)
    assert one.contrast > 1
    assert one.skewness > 0.5
    assert other.contrast == pytest.approx(one.contrast)
    assert other.skewness == pytest.approx(one.skewness)


def test_what_lies_around_a_brain_is_left_out_in_mr_and_counted_in_ct():
    channel = np.zeros((10, 10, 10))
    channel[:5] = np.linspace(100, 200, 500).reshape(5, 10, 10)
    nothing = np.zeros(channel.shape, bool)
    assert intensities(channel, nothing, is_ct=False).percentiles[1] == pytest.approx(150, abs=1)
    assert intensities(channel, nothing, is_ct=True).percentiles[1] == pytest.approx(50, abs=51)
    assert intensities(channel, nothing, is_ct=False).contrast == 0


def test_a_thumbnail_is_the_slice_with_most_labels_in_ras():
    voxels = np.zeros((1, 300, 4, 3), np.float32)
    voxels[0, 0, :, 2] = 9  # the first voxel along i lies to the right
    labels = np.zeros((300, 4, 3), np.uint8)
    labels[0, :2, 2] = 1
    grid = Grid((300, 4, 3), np.diag([-1.0, 2.0, 5.0, 1.0]))
    picture = thumbnail(Volume(voxels, grid), labels)
    assert picture.image.shape == (100, 2)
    assert picture.aspect == 2.0
    assert picture.labels.max(initial=0) <= 1


def test_cases_without_any_label_are_refused(made, hippocampus_task):
    require_labelled([made("a"), made("b", volumes_ml={"anterior": 1.0})], hippocampus_task)
    with pytest.raises(DataError, match="no training case has a labelled voxel"):
        require_labelled([made("a", volumes_ml={"anterior": 0.0})], hippocampus_task)


@pytest.mark.parametrize("odd", [np.nan, np.inf, 1.5])
def test_a_label_map_with_what_is_no_whole_number_is_a_finding(odd, tmp_path):
    FORMS["folders"](tmp_path)
    path = tmp_path / "labels" / "scan_0.nii.gz"
    image = nibabel.load(path)
    voxels = image.get_fdata().astype(np.float32)
    voxels[0, 0, 0] = odd
    save(path, voxels, (9.0, 9.0, 10.0))
    matched = layouts.find(tmp_path)
    (problem,) = measure(matched.data_set.cases[0], matched.task).problems
    assert f"holds the value {odd:g}" in problem.what
    (tmp_path / "labels.json").unlink()  # so that the values are read from the label maps
    assert [label.value for label in layouts.find(tmp_path).task.labels.values()] == [1, 2]


@pytest.mark.parametrize(("outside", "value"), [("zero", 0), ("air", -950)])
def test_what_lies_outside_is_not_counted(tmp_path, put, hippocampus_task, outside, value):
    voxels = np.full((6, 7, 4), value, np.int16)
    voxels[2:4, 3, 1:3] = voxels[2, 1:6, 2] = 40
    # the file's axes point to +y, -x, +z
    affine = np.array([[0, -1, 0, 0], [1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])
    labels = (voxels > 0).astype(np.uint8)
    image = put(tmp_path / "a.nii.gz", voxels, affine)
    case = Case("a", (image,), put(tmp_path / "b.nii.gz", labels, affine))
    task = hippocampus_task.model_copy(update={"outside": outside})
    assert measure(case, task).shape == (7, 6, 4)
    assert measure(case, task).inside == (5, 2, 2)
