"""DICOM segmentations, read by pydicom alone and by highdicom."""

import zipfile
from dataclasses import replace

import highdicom
import numpy as np
import pydicom
import pytest
from skimage.color import rgb2lab

from medseg import export, formats
from medseg.errors import ImageError, OutputError, UsageError
from medseg.export import Reference, Settings, dicom_seg
from medseg.segmentation import Segmentation
from medseg.volume import Grid

SHAPE = (7, 9, 5)
ANGLE = np.deg2rad(17)
TURN = np.array(
    [[np.cos(ANGLE), -np.sin(ANGLE), 0], [np.sin(ANGLE), np.cos(ANGLE), 0], [0, 0, 1]]
) @ np.array([[1, 0, 0], [0, np.cos(ANGLE), -np.sin(ANGLE)], [0, np.sin(ANGLE), np.cos(ANGLE)]])
OBLIQUE = np.eye(4)
OBLIQUE[:3, :3] = TURN @ np.diag([-1.4, 0.8, 4.0])
OBLIQUE[:3, 3] = (-31.5, 12.25, 87.0)


@pytest.fixture(scope="module")
def series(write_series, tmp_path_factory):
    return write_series(tmp_path_factory.mktemp("oblique") / "series", OBLIQUE, SHAPE)


@pytest.fixture
def written(series, tmp_path, rng):
    """Write random labels on the grid of the series, reordered, and return them with the path."""

    def write(task, order=(0, 1, 2), flips=(), settings=None):
        values = [0, *(label.value for label in task.labels.values())]
        label_map = rng.choice(values, SHAPE).astype(np.uint8)
        label_map[:, :, 2] = 0  # a frame that is left out
        change = np.zeros((4, 4))
        change[(*order, 3), (0, 1, 2, 3)] = 1
        for axis in flips:
            change[order[axis]] *= -1
            change[order[axis], 3] = SHAPE[order[axis]] - 1
        reordered = np.flip(label_map.transpose(order), flips)
        grid = Grid(reordered.shape, OBLIQUE @ change)
        path = tmp_path / "case.dcm"
        given = settings or Settings(Reference((series,)))
        dicom_seg.write(path, Segmentation(reordered, grid, task), given)
        return label_map, path

    return write


def places(mask):
    """Return the RAS places of a mask on the oblique grid, in the order of `read_dicom_seg`."""
    found = np.argwhere(mask) @ OBLIQUE[:3, :3].T + OBLIQUE[:3, 3]
    return found[np.lexsort(np.round(found, 3).T)]


@pytest.mark.parametrize(
    ("order", "flips"),
    [
        ((0, 1, 2), ()),
        ((0, 2, 1), (0,)),
        ((1, 0, 2), (1, 2)),
        ((1, 2, 0), (0, 1, 2)),
        ((2, 0, 1), (2,)),
        ((2, 1, 0), (0, 2)),
    ],
)
def test_every_voxel_keeps_its_place_however_the_label_map_is_stored(
    written, read_dicom_seg, hippocampus_task, order, flips
):
    label_map, path = written(hippocampus_task, order, flips)
    found = read_dicom_seg(path)
    assert list(found) == ["Anterior hippocampus", "Posterior hippocampus"]
    for value, title in enumerate(found, start=1):
        assert found[title] == pytest.approx(places(label_map == value), abs=1e-4)


@pytest.mark.parametrize("frames", ["binary", "labelmap"])
def test_values_with_gaps_become_segments_without(
    written, series, read_dicom_seg, phantom_task, frames
):
    settings = Settings(Reference((series,)), frames=frames)
    label_map, path = written(phantom_task, settings=settings)
    found = read_dicom_seg(path)  # values 1, 2 and 4
    assert found["Inner part"] == pytest.approx(places(label_map == 4), abs=1e-4)
    assert found["Mantle"] == pytest.approx(places(label_map == 2), abs=1e-4)
    back = highdicom.seg.segread(path)
    assert back.SegmentationType == frames.upper()
    assert [number for number in back.segment_numbers if number] == [1, 2, 3]
    read = formats.read_segmentation(path, phantom_task)
    grid = Grid(SHAPE, OBLIQUE)
    assert np.array_equal(read.on(grid).label_map, label_map)


def test_regions_overlap_the_labels_if_asked_for(written, series, read_dicom_seg, phantom_task):
    settings = Settings(Reference((series,)), regions=True)
    label_map, path = written(phantom_task, settings=settings)
    found = read_dicom_seg(path)
    assert list(found) == ["Rim", "Mantle", "Inner part", "Whole", "Core"]
    assert found["Whole"] == pytest.approx(places(label_map > 0), abs=1e-4)
    assert found["Core"] == pytest.approx(places(label_map > 1), abs=1e-4)
    with pytest.raises(UsageError, match="a DICOM label map holds one number per voxel"):
        written(phantom_task, settings=replace(settings, frames="labelmap"))


def test_codes_colours_and_the_algorithm_are_told(written, hippocampus_task):
    file = pydicom.dcmread(written(hippocampus_task)[1])
    anterior = file.SegmentSequence[0]
    kind = anterior.SegmentedPropertyTypeCodeSequence[0]
    assert (kind.CodingSchemeDesignator, kind.CodeValue) == ("SCT", "5366008")
    assert kind.SegmentedPropertyTypeModifierCodeSequence[0].CodeValue == "255549009"
    assert anterior.SegmentedPropertyCategoryCodeSequence[0].CodeValue == "123037004"
    assert anterior.AnatomicRegionSequence[0].CodeValue == "12738006"
    assert anterior.SegmentAlgorithmType == "AUTOMATIC"
    assert anterior.SegmentAlgorithmName == "medseg"
    assert anterior.TrackingID == "anterior"
    lab = rgb2lab(np.array([0xE0, 0xA0, 0x30]) / 255)  # of scikit-image
    in_16_bits = [lab[0] / 100 * 65535, *((lab[1:] + 128) / 255 * 65535)]
    assert list(anterior.RecommendedDisplayCIELabValue) == pytest.approx(in_16_bits, abs=2)


def test_patient_study_and_slices_are_those_of_the_series(written, series, hippocampus_task):
    file = pydicom.dcmread(written(hippocampus_task)[1])
    assert (file.PatientName, file.PatientID) == ("Doe^Jane", "4711")
    assert file.StudyInstanceUID == "1.2.3"
    assert file.FrameOfReferenceUID == "1.2.3.5"
    assert file.SeriesInstanceUID != "1.2.3.4"
    referenced = file.ReferencedSeriesSequence[0]
    assert referenced.SeriesInstanceUID == "1.2.3.4"
    known = {part.ReferencedSOPInstanceUID for part in referenced.ReferencedInstanceSequence}
    assert known == {pydicom.dcmread(path).SOPInstanceUID for path in series.iterdir()}


def test_frames_without_a_segment_are_left_out_but_for_a_file_without_any(
    written, series, tmp_path, hippocampus_task
):
    assert pydicom.dcmread(written(hippocampus_task)[1]).NumberOfFrames == 2 * 4
    nothing = Segmentation(np.zeros(SHAPE, np.uint8), Grid(SHAPE, OBLIQUE), hippocampus_task)
    dicom_seg.write(tmp_path / "none.dcm", nothing, Settings(Reference((series,))))
    assert not pydicom.dcmread(tmp_path / "none.dcm").pixel_array.any()
    assert formats.read_segmentation(tmp_path / "none.dcm", hippocampus_task).grid.shape == SHAPE


def test_a_cropped_label_map_is_padded(series, read_dicom_seg, tmp_path, hippocampus_task):
    affine = OBLIQUE.copy()
    affine[:3, 3] = (OBLIQUE @ (2, 3, 1, 1))[:3]
    found = Segmentation(np.ones((2, 2, 2), np.uint8), Grid((2, 2, 2), affine), hippocampus_task)
    dicom_seg.write(tmp_path / "a.dcm", found, Settings(Reference((series,))))
    whole = np.zeros(SHAPE, bool)
    whole[2:4, 3:5, 1:3] = True
    back = read_dicom_seg(tmp_path / "a.dcm")["Anterior hippocampus"]
    assert back == pytest.approx(places(whole), abs=1e-4)


@pytest.mark.parametrize("shift", [(0.5, 0, 0), (0, 0, 3)])
def test_voxels_between_or_beyond_the_slices_are_refused(series, tmp_path, hippocampus_task, shift):
    affine = OBLIQUE.copy()
    affine[:3, 3] = (OBLIQUE @ (*shift, 1))[:3]
    found = Segmentation(np.ones(SHAPE, np.uint8), Grid(SHAPE, affine), hippocampus_task)
    with pytest.raises(UsageError, match=r"a\.dcm: lies on another grid than the series"):
        dicom_seg.write(tmp_path / "a.dcm", found, Settings(Reference((series,))))
    assert list(tmp_path.iterdir()) == []


def test_without_a_series_it_is_refused(tmp_path, hippocampus_task):
    found = Segmentation(np.ones(SHAPE, np.uint8), Grid(SHAPE, OBLIQUE), hippocampus_task)
    with pytest.raises(UsageError, match="none was named"):
        dicom_seg.write(tmp_path / "a.dcm", found)
    (tmp_path / "scan.nii.gz").touch()
    settings = Settings(Reference((tmp_path / "scan.nii.gz",)))
    with pytest.raises(ImageError, match=r"scan\.nii\.gz: is no DICOM series"):
        dicom_seg.write(tmp_path / "a.dcm", found, settings)


def one(task):
    return Segmentation(np.ones(SHAPE, np.uint8), Grid(SHAPE, OBLIQUE), task)


def test_an_anonymised_series_is_completed(write_series, tmp_path, hippocampus_task):
    blank = dict.fromkeys(("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID"), "")
    series = write_series(tmp_path / "series", OBLIQUE, SHAPE, PatientName="", **blank)
    for name in "ab":
        export.write(
            tmp_path / f"{name}.dcm", one(hippocampus_task), Settings(Reference((series,)))
        )
    first, second = (pydicom.dcmread(tmp_path / f"{name}.dcm") for name in "ab")
    assert first.StudyInstanceUID == second.StudyInstanceUID
    assert first.SOPInstanceUID != second.SOPInstanceUID
    assert first.PatientName == ""
    assert first.AccessionNumber == ""


@pytest.mark.parametrize(
    ("characters", "name"),
    [
        (None, "Doe^Jane"),
        ("ISO_IR 100", "Müller^Jörg"),
        (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎"),
    ],
)
def test_names_and_titles_of_any_script_are_kept(
    write_series, tmp_path, hippocampus_task, characters, name
):
    tags = {} if characters is None else {"SpecificCharacterSet": characters}
    series = write_series(tmp_path / "series", OBLIQUE, SHAPE, **tags, PatientName=name)
    label = hippocampus_task.labels["anterior"].model_copy(update={"title": "Größe 海馬"})
    labels = {**hippocampus_task.labels, "anterior": label}
    task = hippocampus_task.model_copy(update={"labels": labels})
    dicom_seg.write(tmp_path / "a.dcm", one(task), Settings(Reference((series,))))
    file = pydicom.dcmread(tmp_path / "a.dcm")
    assert file.PatientName == name
    assert file.SegmentSequence[0].SegmentLabel == "Größe 海馬"
    assert formats.read_segmentation(tmp_path / "a.dcm", task).label_map.all()


def test_a_zip_file_of_the_series_will_do(series, tmp_path, hippocampus_task):
    with zipfile.ZipFile(tmp_path / "series.zip", "w") as packed:
        for path in series.iterdir():
            packed.write(path, f"inner/{path.name}")
    settings = Settings(Reference((tmp_path / "series.zip",)))
    dicom_seg.write(tmp_path / "a.dcm", one(hippocampus_task), settings)
    assert pydicom.dcmread(tmp_path / "a.dcm").NumberOfFrames == SHAPE[2]


def test_a_series_that_nothing_can_refer_to_is_refused(write_series, tmp_path, hippocampus_task):
    series = write_series(tmp_path / "series", OBLIQUE, SHAPE, FrameOfReferenceUID="")
    with pytest.raises(OutputError, match="lack FrameOfReferenceUID"):
        dicom_seg.write(tmp_path / "a.dcm", one(hippocampus_task), Settings(Reference((series,))))


def test_what_a_header_says_is_in_no_error(write_series, tmp_path, hippocampus_task, capfd, caplog):
    series = write_series(tmp_path / "series", OBLIQUE, SHAPE)
    for path in series.iterdir():
        path.write_bytes(path.read_bytes().replace(b"19500101", b"Doe+Jane"))  # no date
    settings = Settings(Reference((series,)))
    with pytest.raises(OutputError, match="headers of the series do not allow it") as caught:
        dicom_seg.write(tmp_path / "a.dcm", one(hippocampus_task), settings)
    told = [str(caught.value), *capfd.readouterr(), caplog.text]
    assert not any("Doe" in text for text in told)
    assert caught.value.__suppress_context__


def test_a_file_that_reads_back_differently_is_not_left_behind(
    series, tmp_path, hippocampus_task, monkeypatch
):
    whole = highdicom.seg.Segmentation.save_as

    def save_badly(self, path, *arguments, **options):
        self.PixelData = bytes(len(self.PixelData))
        return whole(self, path, *arguments, **options)

    monkeypatch.setattr(highdicom.seg.Segmentation, "save_as", save_badly)
    with pytest.raises(OutputError, match="differs from what should have been"):
        dicom_seg.write(tmp_path / "a.dcm", one(hippocampus_task), Settings(Reference((series,))))
    assert list(tmp_path.iterdir()) == []
