"""Files that other programs wrote: read as other readers do, or refused with the reason."""

import nibabel
import nrrd
import numpy as np
import pydicom
import pytest
import SimpleITK

from medseg import formats
from medseg.errors import ImageError

pytestmark = pytest.mark.real_data

SINGLE = "is a single DICOM file"
FRAMES = "with many frames"
SEGMENTATION = "a DICOM segmentation, and no scan"
NO_VOXELS = "no such file"  # a header whose voxels are not there
DAMAGED = "is damaged, or a kind of DICOM file"

REFUSED = {
    "dicom/pydicom/CT_small.dcm": SINGLE,
    "dicom/pydicom/JPEG2000.dcm": SINGLE,
    "dicom/pydicom/MR_small.dcm": SINGLE,
    "dicom/pydicom/MR_small_bigendian.dcm": SINGLE,
    "dicom/pydicom/MR_truncated.dcm": DAMAGED,
    "dicom/pydicom/examples_jpeg2k.dcm": SINGLE,
    "dicom/pydicom/no_meta.dcm": "without an image",
    "dicom/pydicom/rtstruct.dcm": "without an image",
    "dicom_seg/dcmqi/23x38x3/multiframe/mf.dcm": FRAMES,
    "dicom_seg/dcmqi/23x38x3/seg/label.seg": SEGMENTATION,
    "dicom_seg/dcmqi/24x38x3/multiframe/mf.dcm": FRAMES,
    "dicom_seg/dcmqi/24x38x3/seg/label.seg": SEGMENTATION,
    "dicom_seg/dcmqi/liver.dcm": SEGMENTATION,
    "dicom_seg/dcmqi/partial_overlaps.dcm": SEGMENTATION,
    "dicom_seg/dcmqi/sparse-labelmap-noppv.dcm": SEGMENTATION,
    "dicom_seg/dcmqi/sparse-labelmap-ppv5.dcm": SEGMENTATION,
    "dicom_seg/highdicom/ct_image.dcm": SINGLE,
    "dicom_seg/highdicom/seg_image_ct_binary.dcm": SEGMENTATION,
    "dicom_seg/highdicom/seg_image_ct_binary_fractional.dcm": SEGMENTATION,
    "dicom_seg/highdicom/seg_image_ct_binary_overlap.dcm": SEGMENTATION,
    "dicom_seg/highdicom/seg_image_ct_binary_single_frame.dcm": SEGMENTATION,
    "dicom_seg/highdicom/seg_image_ct_true_fractional.dcm": SEGMENTATION,
    "nifti/nibabel/analyze.hdr": NO_VOXELS,
    "nifti/nibabel/nifti1.hdr": NO_VOXELS,
    "nifti/nibabel/nifti2.hdr": NO_VOXELS,
    "nifti/nibabel/row_major.dconn.nii": "has the shape (10, 10)",
    "nifti/nifti_reader_js/not-nifti.nii": "cannot work out file type",
    "nrrd/pynrrd/BallBinary30x30x30.raw": "is not an image medseg can read",
    "nrrd/pynrrd/BallBinary30x30x30_byteskip_minus_five.nhdr": "failed to fseek",
    "nrrd/pynrrd/BallBinary30x30x30_bz2.nrrd": "bzip2 encoding not available",
    "nrrd/pynrrd/test1d_ascii.nrrd": "cannot be read",
    "nrrd/pynrrd/test2d_ascii.nrrd": "has 2 axes",
    "nrrd/pynrrd/test_customFields.nrrd": "cannot be read",
    "nrrd/pynrrd/test_simple4d_raw.nrrd": "number of domain axes in the NRRD file (4)",
}
NIFTI = (".nii", ".nii.gz", ".hdr.gz", ".img.gz", ".mgz")
NRRD = (".nrrd", ".seg.nrrd", ".nhdr")
SERIES = (
    "ct_organs/example_ct_dicom",
    "dicom/torchio_ct_17_slices",
    "dicom_seg/dcmqi/23x38x3/image",
    "dicom_seg/dcmqi/24x38x3/image",
    "dicom_seg/dcmqi/ct-3slice",
)

LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


def images(folder, *suffixes):
    readers = folder / "readers"
    for path in sorted(readers.rglob("*")):
        name = path.relative_to(readers).as_posix()
        if path.is_file() and formats.suffix_of(path) in suffixes and name not in REFUSED:
            yield name, path


def test_every_file_is_compared_with_another_reader_or_refused(real_data):
    readers = real_data / "readers"
    compared = {name for name, _ in images(real_data, *NIFTI, *NRRD)}
    for path in (path for path in readers.rglob("*") if path.is_file()):
        name = path.relative_to(readers).as_posix()
        is_slice = path.parent.relative_to(readers).as_posix() in SERIES
        assert (name in compared) + (name in REFUSED) + is_slice == 1, name


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of ITK, while it loads
@pytest.mark.parametrize(("name", "reason"), REFUSED.items())
def test_what_cannot_be_read_is_refused_in_one_line(name, reason, real_data):
    with pytest.raises(ImageError) as caught:
        formats.read(real_data / "readers" / name)
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


def test_nifti_files_are_read_as_nibabel_reads_them(real_data):
    for name, path in images(real_data, *NIFTI):
        volume = formats.read(path)
        image = nibabel.load(path)
        values = np.asanyarray(image.dataobj)
        assert np.array_equal(volume.affine, image.affine), name
        assert volume.voxels.size == values.size, name
        assert volume.grid.shape == image.shape[:3], name
        assert np.array_equal(volume.voxels[0].ravel(), first_channel(values), equal_nan=True), name


def first_channel(values):
    with np.errstate(over="ignore"):
        values = values.astype(np.float32) if values.dtype.kind == "f" else values
    return values[(slice(None),) * 3 + (0,) * (values.ndim - 3)].ravel()


def test_nifti_files_lie_where_itk_puts_them(real_data):
    compared = 0
    for name, path in images(real_data, ".nii", ".nii.gz"):
        header = nibabel.load(path).header
        without_codes = header["qform_code"] == 0 and header["sform_code"] == 0
        is_nifti2 = isinstance(header, nibabel.Nifti2Header)
        if is_nifti2 or without_codes or header["dim"][0] > 4:
            continue  # ITK does not read these, or has rules of its own for them
        image = SimpleITK.ReadImage(str(path))
        size = image.GetSize()[:3]
        last = tuple(extent - 1 for extent in size)
        spare = (0,) * (image.GetDimension() - 3)
        volume = formats.read(path)
        assert volume.grid.shape == size, name
        for index in ((0, 0, 0), last):
            x, y, z = image.TransformIndexToPhysicalPoint((*index, *spare))[:3]
            assert volume.affine @ (*index, 1) == pytest.approx((-x, -y, z, 1), abs=2e-2), name
        compared += 1
    assert compared > 15


def test_nrrd_files_are_read_as_pynrrd_reads_them(real_data):
    for name, path in images(real_data, *NRRD):
        if name == "nrrd/pynrrd/BallBinary30x30x30_nifti.nhdr":
            continue  # it does not skip the other header in its data file, which pynrrd refuses
        volume = formats.read(path)
        values, header = nrrd.read(str(path), index_order="F")
        channels = values if values.ndim == 4 else values[None]
        assert np.array_equal(volume.voxels, channels), name
        if header.get("space") == "left-posterior-superior":
            lps = np.eye(4)
            lps[:3, :3] = header["space directions"][-3:].T
            lps[:3, 3] = header["space origin"]
            assert volume.affine == pytest.approx(LPS @ lps), name


@pytest.mark.parametrize("folder", SERIES[1:])
def test_dicom_series_are_read_as_pydicom_reads_them(folder, real_data):
    slices = [pydicom.dcmread(path) for path in (real_data / "readers" / folder).iterdir()]
    slices.sort(key=lambda part: float(part.ImagePositionPatient[2]))
    volume = formats.read(real_data / "readers" / folder)
    for k, part in enumerate(slices):
        expected = part.pixel_array.T * float(part.RescaleSlope) + float(part.RescaleIntercept)
        assert np.array_equal(volume.voxels[0, :, :, k], expected)
        x, y, z = map(float, part.ImagePositionPatient)
        assert volume.affine @ (0, 0, k, 1) == pytest.approx((-x, -y, z, 1), abs=1e-3)


def test_a_compressed_series_lies_on_its_label_map(real_data):
    organs = real_data / "readers" / "ct_organs"
    volume = formats.read(organs / "example_ct_dicom")
    names = SimpleITK.ImageSeriesReader.GetGDCMSeriesFileNames(str(organs / "example_ct_dicom"))
    expected = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(names)).transpose(2, 1, 0)
    assert np.array_equal(volume.voxels[0], expected)
    labels = formats.read(organs / "example_seg_dicom.nii.gz")
    assert sorted(labels.grid.shape) == sorted(volume.grid.shape)
    liver = np.argwhere(labels.voxels[0] == 5)
    places = np.linalg.inv(volume.affine) @ labels.affine @ np.c_[liver, np.ones(len(liver))].T
    i, j, k = np.round(places[:3]).astype(int)
    assert 20 < np.median(volume.voxels[0, i, j, k]) < 200  # Hounsfield units of a liver


@pytest.mark.parametrize(
    ("folder", "reason"),
    [
        ("dicom/pydicom", r"MR_truncated\.dcm: is damaged"),
        ("dicom_seg/dcmqi/23x38x3/multiframe", "with many frames"),
        ("dicom_seg/dcmqi/23x38x3/seg", "a DICOM segmentation, and no scan"),
        ("dicom_seg/highdicom", "a single DICOM slice"),
        ("nifti", "no DICOM slices"),
    ],
)
def test_folders_that_hold_no_series_are_refused(folder, reason, real_data):
    with pytest.raises(ImageError, match=reason):
        formats.read(real_data / "readers" / folder)


def test_values_that_are_no_numbers_arrive_as_they_are(real_data):
    voxels = formats.read(real_data / "readers/spinal_cord/mtr.nii.gz").voxels
    assert not np.isfinite(voxels).all()
