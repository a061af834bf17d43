import numpy as np
import pytest

from medseg.data.cases import Case, read_image, read_labels, translated
from medseg.errors import DataError, ImageError
from medseg.segmentation import FileValues
from medseg.volume import Grid, Volume

SHAPE = (4, 5, 6)


@pytest.fixture
def voxels(rng):
    return rng.normal(size=SHAPE).astype(np.float32)


@pytest.fixture
def read(tmp_path, put, phantom_task):
    """Writes each channel to its own file and reads the case."""

    def done(*channels, affines=(None, None)):
        files = [
            put(tmp_path / f"channel_{n}.nii.gz", channel, affine)
            for n, (channel, affine) in enumerate(zip(channels, affines, strict=False))
        ]
        return read_image(Case("a", tuple(files)), phantom_task)

    return done


def refused(error, text):
    """Expect `error`, naming a file, and check that a remedy follows."""
    return pytest.raises(error, match=rf"\.nii\.gz: .*{text}.*\. [A-Z][^.]+\.$")


def test_one_file_per_channel_and_one_file_with_all_are_the_same(read, voxels):
    apart = read(voxels, voxels + 1)
    together = read(np.stack([voxels, voxels + 1], axis=3))
    np.testing.assert_array_equal(apart.voxels, np.stack([voxels, voxels + 1]))
    np.testing.assert_array_equal(together.voxels, apart.voxels)
    assert apart.grid.shape == SHAPE


def test_channels_may_differ_in_type(read, voxels):
    numbers = np.arange(120, dtype=np.int16).reshape(SHAPE)
    np.testing.assert_array_equal(read(voxels, numbers).voxels[1], numbers)


@pytest.mark.parametrize(("count", "found"), [(1, "1 channel"), (3, "3 channels")])
def test_a_wrong_number_of_channels_is_refused(read, voxels, count, found):
    wanted = f"has {found}, but task phantom needs 2: first, second"
    with refused(ImageError, wanted):
        read(np.stack([voxels] * count, axis=3))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_voxels_that_are_not_finite_are_refused(read, voxels, value):
    broken = voxels.copy()
    broken[1, 2, 3:5] = value
    with refused(ImageError, r"holds 2 voxels that are NaN or infinite \(channel 2\)"):
        read(np.stack([voxels, broken], axis=3))


@pytest.mark.parametrize("value", [0, 1.5, 1e30])
def test_a_constant_image_is_refused(read, voxels, value):
    with refused(ImageError, rf"constant: every voxel is {value:g}".replace("+", r"\+")):
        read(voxels, np.full(SHAPE, value, dtype=np.float32))


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_single_slice_is_a_volume(read, voxels, axis):
    slice_ = voxels.take([0], axis=axis)
    np.testing.assert_array_equal(read(slice_, slice_ + 1).voxels, [slice_, slice_ + 1])


def test_channels_of_different_shapes_are_refused(read, voxels):
    with refused(ImageError, r"another grid than channel_0\.nii\.gz: \(3, 5, 6\) voxels"):
        read(voxels, voxels[1:])


def test_channels_at_different_places_are_refused(read, voxels):
    moved = np.eye(4)
    moved[0, 3] = 2.0
    with refused(ImageError, r"from \(2\.0, 0\.0, 0\.0\) .* against .* from \(0\.0, 0\.0, 0\.0\)"):
        read(voxels, voxels, affines=(None, moved))


def test_a_rounding_of_the_header_is_no_different_place(read, voxels):
    moved = np.eye(4)
    moved[0, 3] = 1e-4
    assert read(voxels, voxels, affines=(None, moved)).grid.shape == SHAPE


def test_a_damaged_and_a_missing_file_are_refused(tmp_path, phantom_task):
    (tmp_path / "a.nii.gz").write_bytes(b"no image")
    with refused(ImageError, "cannot be read"):
        read_image(Case("a", (tmp_path / "a.nii.gz",)), phantom_task)
    with refused(ImageError, "there is no such file"):
        read_image(Case("b", (tmp_path / "b.nii.gz",)), phantom_task)


@pytest.fixture
def read_map(tmp_path, put, phantom_task):
    """Writes a label map and reads it for a scan of 1 mm voxels."""

    def done(label_map, affine=None):
        path = put(tmp_path / "label.nii.gz", label_map, affine)
        case = Case("a", (tmp_path / "a.nii.gz",), label=path)
        return read_labels(case, phantom_task, Grid(SHAPE, np.eye(4)))

    return done


@pytest.fixture
def label_map():
    label_map = np.zeros(SHAPE, dtype=np.uint8)
    label_map[1, 2] = (0, 1, 2, 4, 4, 0)
    return label_map


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32, np.float64])
def test_labels_of_any_type_are_read(read_map, label_map, dtype):
    np.testing.assert_array_equal(read_map(label_map.astype(dtype)), label_map)


@pytest.mark.parametrize(("value", "shown"), [(3, "3"), (255, "255"), (0.5, r"0\.5")])
def test_a_value_that_is_no_label_is_refused(read_map, label_map, value, shown):
    label_map = label_map.astype(np.float32)
    label_map[0, 0, 0] = value
    with refused(DataError, f"holds the value {shown}, which is no label of task phantom"):
        read_map(label_map)


def test_labels_of_another_shape_are_refused(read_map, label_map):
    with refused(DataError, r"another grid than its image: \(4, 5, 5\) voxels .* \(4, 5, 6\)"):
        read_map(label_map[:, :, 1:])


def test_labels_elsewhere_in_the_patient_are_refused_with_both_places(read_map, label_map):
    flipped = np.diag([-1.0, 1.0, 1.0, 1.0])
    places = r"to \(-3\.0, 4\.0, 5\.0\), against .* to \(3\.0, 4\.0, 5\.0\)"
    with refused(DataError, places):
        read_map(label_map, flipped)


def test_labels_with_channels_are_refused(read_map, label_map):
    with refused(DataError, "has 2 channels"):
        read_map(np.stack([label_map] * 2, axis=3))


def test_a_missing_label_map_is_refused(tmp_path, phantom_task):
    case = Case("a", (tmp_path / "a.nii.gz",))
    with pytest.raises(DataError, match=r"^a: has no label map\. Add it"):
        read_labels(case, phantom_task, Grid(SHAPE, np.eye(4)))


def test_a_label_map_that_is_not_there_is_refused(tmp_path, phantom_task):
    case = Case("a", (tmp_path / "a.nii.gz",), label=tmp_path / "label.nii.gz")
    with refused(ImageError, "there is no such file"):
        read_labels(case, phantom_task, Grid(SHAPE, np.eye(4)))


def test_channels_of_one_file_are_put_into_the_task_s_order(tmp_path, put, voxels, phantom_task):
    path = put(tmp_path / "a.nii.gz", np.stack([voxels, voxels + 1, voxels + 2], axis=3))
    image = read_image(Case("a", (path,), order=(2, 0)), phantom_task)
    np.testing.assert_array_equal(image.voxels, np.stack([voxels + 2, voxels]))
    with refused(ImageError, "has 3 channels, fewer than the description of its data set names"):
        read_image(Case("a", (path,), order=(3, 0)), phantom_task)


def test_a_file_with_fewer_channels_than_described_is_not_taken_as_it_is(
    tmp_path, put, voxels, phantom_task
):
    # as many as the task has: they would pass for the task's, in the order of the file
    path = put(tmp_path / "a.nii.gz", np.stack([voxels, voxels + 1], axis=3))
    with refused(ImageError, "has 2 channels, fewer than the description of its data set names"):
        read_image(Case("a", (path,), order=(2, 0)), phantom_task)


@pytest.mark.parametrize(
    ("name", "patient"),
    [
        ("patient007_frame01", "patient007"),
        ("BraTS-GLI-00005-101", "BraTS-GLI-00005"),
        ("hippocampus_001", "hippocampus_001"),
        ("patient007", "patient007"),
    ],
)
def test_examinations_are_known_to_be_of_one_patient_by_their_names(name, patient):
    assert Case(name, ()).subject == patient
    assert Case(name, (), patient="other").subject == "other"


def test_values_of_the_file_become_those_of_the_task(tmp_path, put, phantom_task):
    labels = np.zeros(SHAPE, np.uint8)
    labels[0, 0, :3] = 1, 7, 9
    path = put(tmp_path / "label.nii.gz", labels)
    case = Case("a", (path,), path, values=FileValues(((7, 4), (9, 0))))
    found = read_labels(case, phantom_task, Grid(SHAPE, np.eye(4)))
    assert found[0, 0, :3].tolist() == [1, 4, 0]


def test_a_case_without_a_patient_is_its_own():
    assert Case("a", ()).subject == "a"
    assert Case("a", (), patient="p").subject == "p"


def test_a_case_without_a_label_map_has_nothing_to_translate(phantom_task):
    volume = Volume(np.zeros((1, *SHAPE), np.uint8), Grid(SHAPE, np.eye(4)))
    with pytest.raises(ValueError, match="a has no label map"):
        translated(volume, Case("a", ()), phantom_task, volume.grid)
