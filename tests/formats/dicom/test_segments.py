"""DICOM segmentations, as medseg, dcmqi and highdicom write them."""

import highdicom
import numpy as np
import pydicom
import pytest

from medseg import formats
from medseg.errors import DataError, ImageError
from medseg.export import Reference, Settings, dicom_seg
from medseg.formats import dicom
from medseg.formats.dicom import segments
from medseg.segmentation import Segmentation
from medseg.task import Task


@pytest.fixture
def written(series, tmp_path, rng):
    """Write random labels on the series of this folder, and return them."""

    def write(task, **settings):
        for path in series.iterdir():
            file = pydicom.dcmread(path)
            file.FrameOfReferenceUID = "1.2.9"
            file.save_as(path)
        grid = formats.read(series).grid
        values = [0, *(label.value for label in task.labels.values())]
        found = Segmentation(rng.choice(values, grid.shape).astype(np.uint8), grid, task)
        path = tmp_path / "out" / "a.dcm"
        dicom_seg.write(path, found, Settings(Reference((series,)), **settings))
        return found, path

    return write


@pytest.mark.parametrize("frames", ["binary", "labelmap"])
def test_what_was_written_comes_back_voxel_for_voxel(written, phantom_task, frames):
    label_map, path = written(phantom_task, frames=frames)
    back = formats.read_segmentation(path, phantom_task)
    assert back.grid.shares_voxels_with(label_map.grid)
    assert np.array_equal(back.on(label_map.grid).label_map, label_map.label_map)


def test_overlapping_segments_are_channels_and_a_label_map_by_their_names(written, phantom_task):
    label_map, path = written(phantom_task, regions=True)
    layers = formats.read_label_map(path)
    assert len(layers.voxels) == 5
    titles = [segment.title for segment in dicom.segments_of(path, 5)]
    assert titles == ["Rim", "Mantle", "Inner part", "Whole", "Core"]
    back = formats.as_segmentation(layers, path, phantom_task)
    assert np.array_equal(back.on(label_map.grid).label_map, label_map.label_map)


def test_segments_tell_their_names_and_codes(written, hippocampus_task):
    first, second = segments.segments(written(hippocampus_task)[1], 1)
    assert (first.key, first.title, first.value) == ("anterior", "Anterior hippocampus", 1)
    assert second.code == ("SCT^5366008", "SCT^255551008")


def test_a_segmentation_is_no_series_and_no_series_a_segmentation(
    written, series, hippocampus_task
):
    path = written(hippocampus_task)[1]
    assert formats.is_dicom_segmentation(path)
    assert not any(formats.is_dicom_segmentation(slice_) for slice_ in series.glob("*.dcm"))
    assert formats.holds_dicom(series)
    assert not formats.holds_dicom(path.parent)


@pytest.mark.parametrize("frames", ["binary", "labelmap"])
def test_a_segmentation_among_the_slices_is_passed_over(written, series, phantom_task, frames):
    before = formats.read(series)
    path = written(phantom_task, frames=frames)[1]
    path.rename(series / "a_segmentation.dcm")
    assert np.array_equal(formats.read(series).voxels, before.voxels)
    with pytest.raises(ImageError, match="holds a DICOM segmentation, and no scan"):
        formats.read(series / "a_segmentation.dcm")


def test_a_folder_of_segmentations_is_no_scan(written, hippocampus_task):
    folder = written(hippocampus_task)[1].parent
    with pytest.raises(ImageError, match="holds a DICOM segmentation, and no scan"):
        dicom.read(folder)


def fractional(path, series, fractions):
    slices = [pydicom.dcmread(file) for file in sorted(series.glob("*.dcm"))]
    for part in slices:
        part.FrameOfReferenceUID, part.PatientID = "1.2.9", "4711"
        for keyword in ("PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID"):
            setattr(part, keyword, "")
        part.StudyDate = part.StudyTime = ""
        part.PatientName = "Doe^Jane"
    slices = highdicom.spatial.sort_datasets(slices)
    codes = pydicom.sr.codedict.codes.SCT
    described = highdicom.seg.SegmentDescription(
        1, "Anterior", codes.AnatomicalStructure, codes.Hippocampus, "MANUAL"
    )
    names = ("1.2.3.9", 1, "1.2.3.9.1", 1, "a", "b", "1", "0")
    array = np.broadcast_to(fractions, (6, 4, 5)).astype(np.float32)
    made = highdicom.seg.Segmentation(slices, array, "FRACTIONAL", [described], *names)
    made.save_as(path)


def test_fractions_need_a_threshold(series, tmp_path, hippocampus_task):
    path = tmp_path / "out.seg"
    fractions = np.zeros((4, 5))
    fractions[:2], fractions[2:] = 0.2, 0.8
    fractional(path, series, fractions)
    with pytest.raises(ImageError, match=r"fractional .*: medseg import --threshold 0\.5"):
        formats.read_label_map(path)
    voxels = formats.read_label_map(path, 0.5)
    found = formats.as_segmentation(voxels, path, hippocampus_task).label_map
    assert (found[:, 2:] == 1).all()  # rows are the second axis
    assert not found[:, :2].any()


def test_fractions_that_are_whole_are_taken(series, tmp_path, hippocampus_task):
    path = tmp_path / "out.seg"
    fractional(path, series, np.eye(4, 5))
    found = formats.read_segmentation(path, hippocampus_task).label_map
    assert np.array_equal(found[:, :, 0], np.eye(5, 4))


def test_a_damaged_file_is_refused_without_a_word_of_its_header(written, hippocampus_task):
    path = written(hippocampus_task)[1]
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(ImageError, match=r"a\.dcm: is a DICOM segmentation that cannot") as caught:
        formats.read_segmentation(path, hippocampus_task)
    assert "Nobody" not in str(caught.value)
    assert caught.value.__suppress_context__


LIVER = {"value": 3, "colour": "#dd8265", "code": "SCT^10200004^Liver"}
SPINE = {"value": 7, "colour": "#d8c0a0", "code": "SCT^421060004^Spine"}


def task_of(**labels):
    fields = {"name": "own", "title": "Own", "layout": "folder", "channels": {"ct": "ct"}}
    return Task.model_validate({**fields, "labels": labels})


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("file", "same"),
    [
        ("liver.dcm", "liver_seg.nrrd"),
        ("23x38x3/seg/label.seg", "23x38x3/nrrd/label.nrrd"),
        ("24x38x3/seg/label.seg", "24x38x3/nrrd/label.nrrd"),
        ("sparse-labelmap-noppv.dcm", "sparse_labelmap_noppv_seg.nrrd"),
        ("sparse-labelmap-ppv5.dcm", "sparse_labelmap_ppv5_seg.nrrd"),
    ],
)
def test_dcmqi_s_files_read_as_dcmqi_reads_them(real_data, file, same):
    folder = real_data / "readers/dicom_seg/dcmqi"
    found = formats.read_segmentation(folder / file, task_of(liver=LIVER))
    known = formats.read(folder / same)
    assert np.array_equal(found.on(known.grid).label_map == 3, known.voxels[0] == 1)
    assert (found.label_map == 3).sum() == (known.voxels == 1).sum() > 0


@pytest.mark.real_data
def test_dcmqi_s_partial_overlaps_are_five_channels(real_data):
    folder = real_data / "readers/dicom_seg/dcmqi"
    layers = formats.read_label_map(folder / "partial_overlaps.dcm")
    told = segments.segments(folder / "partial_overlaps.dcm", 5)
    assert [each.title for each in told] == ["GREEN", "ORANGE", "PURPLE", "LIGHT_BLUE", "DARK_BLUE"]
    for file in sorted(folder.glob("partial_overlaps-*.nrrd")):  # dcmqi groups what is apart
        known = formats.read(file)
        for value in set(np.unique(known.voxels).tolist()) - {0}:
            mask = Segmentation(
                layers.voxels[value - 1].astype(np.uint8) * 3, layers.grid, task_of(liver=LIVER)
            )
            assert np.array_equal(mask.on(known.grid).label_map > 0, known.voxels[0] == value)


@pytest.mark.real_data
def test_highdicom_s_files_are_read_or_refused_with_a_reason(real_data):
    folder = real_data / "readers/dicom_seg/highdicom"
    bone = {**LIVER, "code": "SCT^272673000^Bone", "title": "First segment"}
    task = task_of(bone=bone, spine={**SPINE, "title": "Second segment"})
    known = pydicom.dcmread(folder / "seg_image_ct_binary.dcm").pixel_array
    for name in ("seg_image_ct_binary", "seg_image_ct_binary_fractional"):
        found = formats.read_segmentation(folder / f"{name}.dcm", task)
        assert found.grid.shape == (16, 16, 3)
        assert (found.label_map == 3).sum() == known.sum() > 0
    with pytest.raises(ImageError, match="fractional"):
        formats.read_segmentation(folder / "seg_image_ct_true_fractional.dcm", task)
    with pytest.raises(DataError, match="overlaps another label"):
        formats.read_segmentation(folder / "seg_image_ct_binary_overlap.dcm", task)
