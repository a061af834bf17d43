"""What every exporter promises."""

import errno
import gzip
import itertools
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK

from medseg import export, files
from medseg.errors import OutputError, UsageError
from medseg.segmentation import Segmentation
from medseg.volume import Grid

SHAPE = (7, 9, 5)
LPS_FROM_RAS = np.diag([-1.0, -1.0, 1.0])

each_exporter = pytest.mark.parametrize("name", export.names())
VOXELS = ("mrb", "nifti", "slicer")  # those that SimpleITK reads; test_dicom_seg.py has the other
each_voxel_format = pytest.mark.parametrize("name", VOXELS)
FILES = [name for name in export.names() if name not in ("dicom_seg", "stl")]
each_file = pytest.mark.parametrize("name", FILES)  # written whole by `files.write_verified`


def turned(degrees):
    """Rotate about two axes, so that no axis of the grid lies along one of the world."""
    angle = np.deg2rad(degrees)
    cosine, sine = np.cos(angle), np.sin(angle)
    about_z = np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]])
    about_x = np.array([[1, 0, 0], [0, cosine, -sine], [0, sine, cosine]])
    return about_z @ about_x


def affines():
    """Oblique, permuted, flipped and anisotropic grids."""
    for order in itertools.permutations(range(3)):
        for signs in ((1, 1, 1), (-1, 1, 1), (1, -1, -1)):
            for degrees in (0, 17):
                affine = np.eye(4)
                axes = np.eye(3)[:, order] * signs
                affine[:3, :3] = turned(degrees) @ axes * (1.4, 0.8, 10.0)
                affine[:3, 3] = (-31.5, 12.25, 87.0)
                yield affine


def made(task, affine=None, shape=SHAPE):
    values = [0, *(label.value for label in task.labels.values())]
    label_map = np.random.default_rng(3).choice(values, shape).astype(np.uint8)
    return Segmentation(label_map, Grid(shape, np.eye(4) if affine is None else affine), task)


def read_labels(path):
    """Read layer 0 and the places of its voxels with SimpleITK."""
    if path.suffix == ".mrb":
        with zipfile.ZipFile(path) as scene:
            path = Path(
                scene.extract("medseg/Data/segmentation.seg.nrrd", path.parent / "unpacked")
            )
    image = SimpleITK.ReadImage(str(path))
    array = SimpleITK.GetArrayFromImage(image)
    label_map = (array[..., 0] if array.ndim == 4 else array).transpose(2, 1, 0)
    directions = np.array(image.GetDirection()).reshape(3, 3) * image.GetSpacing()
    return label_map, LPS_FROM_RAS @ directions, LPS_FROM_RAS @ np.array(image.GetOrigin())


@pytest.fixture(scope="session")
def settings(write_series, tmp_path_factory):
    """Settings with a series on the grid of `made`."""
    series = write_series(tmp_path_factory.mktemp("series"), np.eye(4), SHAPE)
    return export.Settings(export.Reference((series,)))


def unpacked_bytes(path):
    """Return what a file holds, unpacked as far as gzip and zip go."""
    content = path.read_bytes()
    if path.suffix == ".mrb":
        with zipfile.ZipFile(path) as scene:
            content = b"".join(scene.read(name) for name in scene.namelist())
    return gzip.decompress(content) if path.suffix == ".gz" else content


@each_exporter
def test_it_has_the_form_of_an_exporter(name):
    exporter = export.load(name)
    assert isinstance(exporter, export.Exporter)
    assert exporter.SUFFIX.lower() == exporter.SUFFIX
    assert exporter.FORMAT.lower() == exporter.FORMAT
    assert (name == "dicom_seg") == exporter.NEEDS_SERIES


@each_voxel_format
@pytest.mark.parametrize("affine", list(affines()))
def test_every_labelled_voxel_keeps_its_place_in_the_patient(
    name, affine, hippocampus_task, tmp_path
):
    segmentation = made(hippocampus_task, affine)
    path = tmp_path / f"case{export.load(name).SUFFIX}"
    export.write(path, segmentation)
    label_map, directions, origin = read_labels(path)
    for value in (1, 2):
        expected = np.argwhere(segmentation.label_map == value) @ affine[:3, :3].T + affine[:3, 3]
        found = np.argwhere(label_map == value) @ directions.T + origin
        assert found == pytest.approx(expected, abs=1e-4)


@each_voxel_format
def test_overlapping_regions_leave_the_labels_as_they_are(name, phantom_task, tmp_path):
    segmentation = made(phantom_task)
    path = tmp_path / f"case{export.load(name).SUFFIX}"
    export.write(path, segmentation, export.Settings(regions=True))
    assert np.array_equal(read_labels(path)[0], segmentation.label_map)


@each_file
def test_the_same_segmentation_gives_the_same_bytes(name, phantom_task, tmp_path):
    paths = [tmp_path / folder / f"case{export.load(name).SUFFIX}" for folder in "ab"]
    for path in paths:
        export.write(path, made(phantom_task))
    assert paths[0].read_bytes() == paths[1].read_bytes()


@each_voxel_format
def test_nothing_found_is_written_at_full_size(name, hippocampus_task, tmp_path):
    path = tmp_path / f"case{export.load(name).SUFFIX}"
    empty = np.zeros(SHAPE, dtype=np.uint8)
    export.write(path, replace(made(hippocampus_task), label_map=empty))
    assert read_labels(path)[0].shape == SHAPE
    assert not read_labels(path)[0].any()


@each_voxel_format
def test_label_values_above_255_are_kept(name, hippocampus_task, tmp_path):
    labels = dict(hippocampus_task.labels)
    labels["posterior"] = labels["posterior"].model_copy(update={"value": 300})
    task = hippocampus_task.model_copy(update={"labels": labels})
    label_map = np.full(SHAPE, 300, dtype=np.int64)
    path = tmp_path / f"case{export.load(name).SUFFIX}"
    export.write(path, Segmentation(label_map, Grid(SHAPE, np.eye(4)), task))
    assert np.array_equal(read_labels(path)[0], label_map)


@each_exporter
def test_a_full_disk_leaves_what_was_there(name, hippocampus_task, tmp_path, monkeypatch, settings):
    path = tmp_path / f"case{export.load(name).SUFFIX}"
    file = path / "anterior.stl" if name == "stl" else path  # it writes a folder
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(b"earlier")

    def refuse(*_args):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files.os, "replace", refuse)
    with pytest.raises(OutputError, match=r"no space left on device\. Free some space"):
        export.write(path, made(hippocampus_task), settings)
    assert [entry.name for entry in file.parent.iterdir()] == [file.name]
    assert file.read_bytes() == b"earlier"


@each_exporter
def test_no_patient_is_told_unless_dicom_demands_it(name, hippocampus_task, tmp_path, settings):
    path = tmp_path / f"case{export.load(name).SUFFIX}"
    export.write(path, made(hippocampus_task), settings)
    written = [path] if path.is_file() else list(path.iterdir())
    told = any(unpacked.count(b"Doe^Jane") for unpacked in map(unpacked_bytes, written))
    assert told == (name == "dicom_seg")


@each_file
def test_a_file_that_reads_back_differently_is_not_left_behind(
    name, hippocampus_task, tmp_path, monkeypatch
):
    def write_badly(path, content):
        with path.open("wb") as file:
            file.write(bytes(content)[: len(content) // 2] + bytes(len(content) // 2 + 1))
        return len(content)

    monkeypatch.setattr(Path, "write_bytes", write_badly)
    with pytest.raises(OutputError, match="differs from what should have been"):
        export.write(tmp_path / f"case{export.load(name).SUFFIX}", made(hippocampus_task))
    assert list(tmp_path.iterdir()) == []


def test_an_ending_that_nobody_writes_is_refused(hippocampus_task, tmp_path):
    with pytest.raises(UsageError, match=r"Let the name end in .*\.nii\.gz or .*\.seg\.nrrd"):
        export.write(tmp_path / "case.png", made(hippocampus_task))


def test_the_ending_chooses_the_exporter():
    endings = {exporter.SUFFIX: name for name, exporter in export.formats().items()}
    assert endings == {
        ".csv": "csv",
        ".ctbl": "ctbl",
        ".dcm": "dicom-seg",
        ".label": "label",
        ".labels.json": "labels.json",
        ".mrb": "mrb",
        ".nii.gz": "nii.gz",
        ".seg.nrrd": "seg.nrrd",
        "_stl": "stl",
    }
    assert export.by_ending(Path("A.Seg.NRRD")) is export.load("slicer")
    assert export.by_ending(Path("a.nrrd")) is None


def test_several_formats_are_named_by_commas():
    assert export.chosen("mrb, .NII.gz,mrb") == [export.load("mrb"), export.load("nifti")]
    assert export.chosen(None) == [export.load("slicer")]
    assert export.chosen(None, usual="nii.gz") == [export.load("nifti")]
    assert export.chosen(None, Path("a.mrb")) == [export.load("mrb")]
    assert export.chosen("stl", Path("surfaces")) == [export.load("stl")]


def test_an_unknown_format_is_refused_with_those_there_are():
    with pytest.raises(UsageError, match=r"no format 'obj'\. Choose from ctbl, csv, dicom-seg, "):
        export.chosen("mrb,obj")


def test_a_file_named_as_another_format_is_refused():
    with pytest.raises(UsageError, match=r"a\.mrb is named as mrb, and not as seg\.nrrd"):
        export.chosen("seg.nrrd", Path("a.mrb"))


@pytest.mark.parametrize("reference", [None, export.Reference((Path("scan.nii.gz"),))])
def test_what_needs_a_series_is_refused_before_any_work(reference):
    settings = export.Settings(reference)
    export.require_series([export.load("mrb")], settings)
    with pytest.raises(UsageError, match="dicom-seg refers to a DICOM series, and there is none"):
        export.require_series([export.load("dicom_seg")], settings)


def test_an_unknown_exporter_is_refused_with_those_there_are():
    with pytest.raises(ValueError, match=r"no 'slycer'; choose from \['colour_table'"):
        export.load("slycer")
