import nrrd
import numpy as np
import pytest
import SimpleITK

from medseg import export, formats
from medseg.errors import DataError, ImageError
from medseg.formats import simpleitk
from medseg.segmentation import Segmentation
from medseg.volume import Grid

WITH_REGIONS = export.Settings(regions=True)
SHAPE = (5, 6, 7)
ANGLE = np.deg2rad(17)
TURN = np.array(
    [[np.cos(ANGLE), -np.sin(ANGLE), 0], [np.sin(ANGLE), np.cos(ANGLE), 0], [0, 0, 1.0]]
)
SPACING_MM = (1.4, 0.8, 10.0)
ORIGIN_LPS = (12.5, -31.0, 4.25)

each_suffix = pytest.mark.parametrize("suffix", [".nrrd", ".nhdr", ".mha", ".mhd"])


def image_of(voxels, **options):
    image = SimpleITK.GetImageFromArray(
        voxels.transpose(2, 1, 0, *range(3, voxels.ndim)), **options
    )
    image.SetSpacing(SPACING_MM)
    image.SetDirection((TURN @ np.eye(3)[:, [2, 0, 1]] * (1, -1, 1)).ravel().tolist())
    image.SetOrigin(ORIGIN_LPS)
    return image


@each_suffix
def test_voxels_and_their_places_are_those_of_simpleitk(suffix, rng, tmp_path):
    voxels = rng.integers(-1000, 3000, SHAPE).astype(np.int16)
    image = image_of(voxels)
    path = tmp_path / f"scan{suffix}"
    SimpleITK.WriteImage(image, str(path))
    volume = formats.read(path)
    assert volume.voxels.dtype == np.int16
    assert np.array_equal(volume.voxels[0], voxels)
    for index in ((0, 0, 0), (4, 5, 6), (1, 0, 3)):
        x, y, z = image.TransformIndexToPhysicalPoint(index)
        assert volume.affine @ (*index, 1) == pytest.approx((-x, -y, z, 1), abs=1e-9)


def test_the_affine_by_hand(tmp_path):
    header = {
        "space": "left-posterior-superior",
        "space directions": np.array([[0, -1.5, 0], [0.5, 0, 0], [0, 0, -2.5]]),
        "space origin": np.array([-10, 20, 33.25]),
    }
    nrrd.write(str(tmp_path / "scan.nrrd"), np.zeros(SHAPE, dtype=np.uint8), header)
    expected = [[0, -0.5, 0, 10], [1.5, 0, 0, -20], [0, 0, -2.5, 33.25], [0, 0, 0, 1]]
    assert simpleitk.read(tmp_path / "scan.nrrd").affine == pytest.approx(np.array(expected))


def test_a_file_in_ras_is_turned_too(tmp_path):
    header = {
        "space": "right-anterior-superior",
        "space directions": np.diag([1.0, 2.0, 3.0]),
        "space origin": np.array([4.0, 5.0, 6.0]),
    }
    nrrd.write(str(tmp_path / "scan.nrrd"), np.zeros(SHAPE, dtype=np.uint8), header)
    expected = [[1, 0, 0, 4], [0, 2, 0, 5], [0, 0, 3, 6], [0, 0, 0, 1]]
    assert simpleitk.read(tmp_path / "scan.nrrd").affine == pytest.approx(np.array(expected))


@pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
def test_several_numbers_per_voxel_are_channels(suffix, rng, tmp_path):
    voxels = rng.random((*SHAPE, 3)).astype(np.float32)
    SimpleITK.WriteImage(image_of(voxels, isVector=True), str(tmp_path / f"scan{suffix}"))
    volume = simpleitk.read(tmp_path / f"scan{suffix}")
    assert np.array_equal(volume.voxels, np.moveaxis(voxels, 3, 0))


def test_a_fourth_axis_is_channels(rng, tmp_path):
    voxels = rng.integers(0, 99, (2, 7, 6, 5)).astype(np.int16)
    image = SimpleITK.GetImageFromArray(voxels, isVector=False)
    image.SetSpacing((1.0, 2.0, 3.0, 1.0))
    SimpleITK.WriteImage(image, str(tmp_path / "scan.mha"))
    volume = simpleitk.read(tmp_path / "scan.mha")
    assert np.array_equal(volume.voxels, voxels.transpose(0, 3, 2, 1))
    assert volume.spacing_mm == (1.0, 2.0, 3.0)


def test_an_exported_segmentation_reads_as_a_label_map(rng, tmp_path, hippocampus_task):
    label_map = rng.integers(0, 3, SHAPE).astype(np.uint8)
    grid = Grid(SHAPE, np.diag([-1.0, 2.0, 3.0, 1.0]))
    export.write(tmp_path / "a.seg.nrrd", Segmentation(label_map, grid, hippocampus_task))
    found = formats.read_segmentation(tmp_path / "a.seg.nrrd", hippocampus_task)
    assert np.array_equal(found.label_map, label_map)
    assert found.grid.matches(grid)


def test_overlapping_segments_read_as_channels(rng, tmp_path, phantom_task):
    label_map = rng.choice([0, 1, 2, 4], SHAPE).astype(np.uint8)
    grid = Grid(SHAPE, np.eye(4))
    export.write(tmp_path / "a.seg.nrrd", Segmentation(label_map, grid, phantom_task), WITH_REGIONS)
    volume = formats.read(tmp_path / "a.seg.nrrd")
    assert volume.voxels.shape == (3, *SHAPE)
    assert np.array_equal(volume.voxels[0], label_map)
    assert np.array_equal(volume.voxels[1], label_map > 0)


def test_overlapping_segments_are_a_label_map_by_their_names(rng, tmp_path, phantom_task):
    label_map = rng.choice([0, 1, 2, 4], SHAPE).astype(np.uint8)
    grid = Grid(SHAPE, np.diag([-1.0, 2.0, 3.0, 1.0]))
    export.write(tmp_path / "a.seg.nrrd", Segmentation(label_map, grid, phantom_task), WITH_REGIONS)
    found = formats.read_segmentation(tmp_path / "a.seg.nrrd", phantom_task)
    assert np.array_equal(found.label_map, label_map)
    assert found.grid.matches(grid)


def put_segments(path, layers, *segments):
    """Write layers with segments of (identifier, name, value, layer), as 3D Slicer does."""
    header = {
        "space": "left-posterior-superior",
        "space directions": np.array([[np.nan] * 3, *np.eye(3)]),
        "kinds": ["list", "domain", "domain", "domain"],
        "space origin": np.zeros(3),
    }
    for number, segment in enumerate(segments):
        fields = zip(("ID", "Name", "LabelValue", "Layer"), segment, strict=True)
        header |= {f"Segment{number}_{field}": str(value) for field, value in fields}
    nrrd.write(str(path), np.stack(layers).astype(np.uint8), header)
    return path


def blocks():
    one, other = np.zeros((2, *SHAPE), dtype=np.uint8)
    one[:2] = 7
    other[2:4] = 1
    return one, other


def test_segments_that_slicer_renumbered_are_known_by_their_titles(tmp_path, phantom_task):
    segments = [("Segment_1", "Rim", 7, 0), ("Segment_2", "Inner part", 1, 1)]
    path = put_segments(tmp_path / "a.seg.nrrd", blocks(), *segments)
    found = formats.read_segmentation(path, phantom_task).label_map
    assert (found[:2] == phantom_task.labels["rim"].value).all()
    assert (found[2:4] == phantom_task.labels["inner"].value).all()
    assert not found[4:].any()


def test_one_layer_is_read_by_its_segments_names(tmp_path, hippocampus_task):
    voxels = np.zeros(SHAPE, dtype=np.uint8)
    voxels[:2], voxels[2:4] = 1, 2
    header = {"space": "left-posterior-superior", "space directions": np.eye(3)}
    header |= {"Segment0_ID": "Segment_1", "Segment0_Name": "Posterior hippocampus"}
    header |= {"Segment0_LabelValue": "1", "Segment0_Layer": "0", "Segment1_ID": "anterior"}
    header |= {"Segment1_LabelValue": "2", "Segment1_Layer": "0"}
    nrrd.write(str(tmp_path / "a.seg.nrrd"), voxels, header)
    found = formats.read_segmentation(tmp_path / "a.seg.nrrd", hippocampus_task).label_map
    assert found[:, 0, 0].tolist() == [2, 2, 1, 1, 0]


@pytest.mark.parametrize(
    ("segments", "reason"),
    [
        ([("rim", "Rim", 7, 0), ("Segment_2", "Cyst", 1, 1)], "no label of task phantom: Cyst"),
        ([("region.whole", "Whole", 7, 0), ("x", "Core", 1, 1)], "no segment is a label"),
        ([("rim", "Rim", 7, 0), ("inner", "Inner part", 0, 1)], "Inner part overlaps another"),
    ],
)
def test_segments_that_make_no_label_map_are_refused(segments, reason, tmp_path, phantom_task):
    path = put_segments(tmp_path / "a.seg.nrrd", blocks(), *segments)
    with pytest.raises(DataError, match=rf"a\.seg\.nrrd: .*{reason}"):
        formats.read_segmentation(path, phantom_task)


@pytest.mark.parametrize("content", [b"", b"NRRD0004\n", b"not an image"])
def test_a_file_that_is_no_image_is_refused(content, tmp_path):
    (tmp_path / "scan.nrrd").write_bytes(content)
    with pytest.raises(ImageError, match=r"scan\.nrrd: cannot be read: ") as caught:
        simpleitk.read(tmp_path / "scan.nrrd")
    assert "\n" not in str(caught.value)


def test_a_truncated_file_is_refused(rng, tmp_path):
    path = tmp_path / "scan.nrrd"
    SimpleITK.WriteImage(image_of(rng.random((20, 20, 20))), str(path), useCompression=True)
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(ImageError, match="cannot be read"):
        simpleitk.read(path)


def test_a_picture_is_refused(tmp_path):
    picture = SimpleITK.GetImageFromArray(np.zeros((4, 5), dtype=np.uint8))
    SimpleITK.WriteImage(picture, str(tmp_path / "picture.mha"))
    with pytest.raises(ImageError, match="has 2 axes"):
        simpleitk.read(tmp_path / "picture.mha")


def test_complex_numbers_are_refused(tmp_path):
    SimpleITK.WriteImage(image_of(np.zeros(SHAPE, dtype=np.complex64)), str(tmp_path / "k.nrrd"))
    with pytest.raises(ImageError, match="instead of numbers"):
        simpleitk.read(tmp_path / "k.nrrd")
