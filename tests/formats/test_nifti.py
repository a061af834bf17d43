import errno
import gzip
import os
import struct
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK

from medseg import files, formats
from medseg.errors import ImageError, OutputError
from medseg.formats import nifti
from medseg.volume import Grid

SHAPE = (5, 6, 7)


def matrix(*columns, origin=(-12.5, 31.0, 4.25)):
    affine = np.eye(4)
    affine[:3, :3] = np.array(columns, dtype=np.float64).T
    affine[:3, 3] = origin
    return affine


ANGLE = np.deg2rad(17)
OBLIQUE = matrix(
    (1.1 * np.cos(ANGLE), 1.1 * np.sin(ANGLE), 0),
    (-0.9 * np.sin(ANGLE), 0.9 * np.cos(ANGLE), 0),
    (0, 0, 2.0),
)
SHEARED = OBLIQUE + np.array([[0, 1e-3, 0, 0], [0] * 4, [0, 0, 0, 0], [0] * 4])

# name: (affine, sform code, qform code, shape of the file)
GEOMETRIES = {
    "identity": (np.eye(4), 1, 1, SHAPE),
    "flipped": (matrix((-1, 0, 0), (0, -1, 0), (0, 0, 1)), 1, 1, SHAPE),
    "permuted": (matrix((0, 0, 1.5), (1, 0, 0), (0, 2, 0)), 1, 1, SHAPE),
    "oblique": (OBLIQUE, 1, 1, SHAPE),
    "sheared a little": (SHEARED, 1, 0, SHAPE),
    "sform only": (OBLIQUE, 4, 0, SHAPE),
    "qform only": (OBLIQUE, 0, 1, SHAPE),
    "sform and qform differ": (OBLIQUE, 2, 1, SHAPE),
    "neither sform nor qform": (np.diag([2.0, 2.0, 3.0, 1.0]), 0, 0, SHAPE),
    "thick slices": (matrix((1.4, 0, 0), (0, 1.4, 0), (0, 0, 10)), 1, 1, SHAPE),
    "left-handed": (matrix((1, 0, 0), (0, 0, 1), (0, 1, 0)), 1, 1, SHAPE),
    "one time point": (OBLIQUE, 1, 1, (*SHAPE, 1)),
}

each_geometry = pytest.mark.parametrize("geometry", GEOMETRIES.values(), ids=GEOMETRIES.keys())
each_kind = pytest.mark.parametrize("kind", [nibabel.Nifti1Image, nibabel.Nifti2Image])


def scan(geometry, kind=nibabel.Nifti1Image, dtype=np.int16):
    affine, sform_code, qform_code, shape = geometry
    voxels = np.arange(np.prod(shape)).reshape(shape).astype(dtype)
    image = kind(voxels, None)
    image.header.set_zooms((*np.sqrt((affine[:3, :3] ** 2).sum(axis=0)), *(1,) * len(shape[3:])))
    quaternion = np.eye(4) if sform_code == 2 and qform_code == 1 else affine
    image.header.set_qform(quaternion if qform_code else None, code=qform_code, strip_shears=True)
    image.header.set_sform(affine if sform_code else None, code=sform_code)
    image.header.set_xyzt_units("mm", "sec")
    return kind(voxels, None, image.header)


def labels(shape=SHAPE):
    return np.random.default_rng(0).integers(0, 5, shape).astype(np.uint8)


def written_beside(path, label_map=None):
    """Read the grid of `path`, write a label map on it, and return both as nibabel has them."""
    grid = formats.read(path).grid
    target = path.with_name("labels.nii.gz")
    nifti.write_label_map(target, labels(grid.shape) if label_map is None else label_map, grid)
    return nibabel.load(path), nibabel.load(target)


@each_geometry
@each_kind
def test_a_label_map_gets_the_scan_s_geometry_bit_for_bit(geometry, kind, tmp_path):
    scan(geometry, kind).to_filename(tmp_path / "scan.nii.gz")
    original, found = written_beside(tmp_path / "scan.nii.gz")
    assert type(found) is kind
    assert found.shape == original.shape
    assert np.array_equal(found.affine, original.affine)
    fields = ["qform_code", "sform_code", "srow_x", "srow_y", "srow_z", "quatern_b", "quatern_c"]
    for field in [*fields, "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z", "pixdim"]:
        assert np.array_equal(found.header[field], original.header[field]), field
    assert found.header["xyzt_units"] == original.header["xyzt_units"]
    assert np.array_equal(np.asarray(found.dataobj).reshape(SHAPE), labels())
    assert found.get_data_dtype() == np.uint8


@each_geometry
def test_what_is_read_has_the_affine_and_voxels_of_nibabel(geometry, tmp_path):
    image = scan(geometry)
    image.to_filename(tmp_path / "scan.nii")
    volume = nifti.read(tmp_path / "scan.nii")
    assert np.array_equal(volume.affine, nibabel.load(tmp_path / "scan.nii").affine)
    assert np.array_equal(volume.voxels[0], np.asarray(image.dataobj).reshape(SHAPE))


@pytest.mark.parametrize(
    "name", [name for name in GEOMETRIES if name not in ("sheared a little", "one time point")]
)
def test_simpleitk_puts_scan_and_label_map_at_the_same_place(name, tmp_path):
    scan(GEOMETRIES[name]).to_filename(tmp_path / "scan.nii.gz")
    written_beside(tmp_path / "scan.nii.gz")
    original = SimpleITK.ReadImage(str(tmp_path / "scan.nii.gz"))
    found = SimpleITK.ReadImage(str(tmp_path / "labels.nii.gz"))
    corner = [size - 1 for size in SHAPE]
    for index in ([0, 0, 0], corner):
        assert found.TransformIndexToPhysicalPoint(index) == original.TransformIndexToPhysicalPoint(
            index
        )
    assert np.array_equal(SimpleITK.GetArrayFromImage(found).transpose(2, 1, 0), labels())


@pytest.mark.parametrize("name", ["identity", "flipped", "permuted", "oblique", "qform only"])
def test_simpleitk_agrees_on_where_a_voxel_lies(name, tmp_path):
    scan(GEOMETRIES[name]).to_filename(tmp_path / "scan.nii.gz")
    affine = nifti.read(tmp_path / "scan.nii.gz").affine
    image = SimpleITK.ReadImage(str(tmp_path / "scan.nii.gz"))
    x, y, z = image.TransformIndexToPhysicalPoint((4, 1, 3))
    assert affine @ (4, 1, 3, 1) == pytest.approx((-x, -y, z, 1), abs=1e-4)


@each_kind
def test_big_endian_files_are_read_and_answered_in_kind(kind, tmp_path):
    image = scan(GEOMETRIES["oblique"], kind)
    header = image.header.as_byteswapped(">")
    kind(np.asarray(image.dataobj), None, header).to_filename(tmp_path / "scan.nii")
    volume = nifti.read(tmp_path / "scan.nii")
    assert volume.voxels.dtype == np.int16
    assert volume.voxels.dtype.isnative
    assert np.array_equal(volume.voxels[0], np.asarray(image.dataobj))
    original, found = written_beside(tmp_path / "scan.nii")
    assert np.array_equal(found.affine, original.affine)
    assert np.array_equal(np.asarray(found.dataobj), labels())


def test_a_pair_of_files_is_answered_with_one(tmp_path):
    image = nibabel.Nifti1Pair(np.ones(SHAPE, dtype=np.int16), OBLIQUE)
    image.to_filename(tmp_path / "scan.img")
    original, found = written_beside(tmp_path / "scan.hdr")
    assert np.array_equal(found.affine, original.affine)
    assert np.array_equal(np.asarray(found.dataobj), labels())


def test_no_patient_s_name_survives(tmp_path):
    image = scan(GEOMETRIES["oblique"])
    for field in ("descrip", "aux_file", "intent_name", "db_name", "data_type"):
        image.header[field] = b"DOE^JANE"
    image.header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", b"DOE^JANE"))
    image.to_filename(tmp_path / "scan.nii.gz")
    written_beside(tmp_path / "scan.nii.gz")
    assert b"DOE^JANE" in gzip.decompress((tmp_path / "scan.nii.gz").read_bytes())
    assert b"DOE" not in gzip.decompress((tmp_path / "labels.nii.gz").read_bytes())


def test_scaling_is_applied_and_not_passed_on(tmp_path):
    image = scan(GEOMETRIES["identity"])
    image.header.set_slope_inter(2.0, -1000.0)
    image.to_filename(tmp_path / "scan.nii.gz")
    raw = bytearray(gzip.decompress((tmp_path / "scan.nii.gz").read_bytes()))
    raw[112:120] = struct.pack("<ff", 2.0, -1000.0)  # scl_slope and scl_inter, which nibabel resets
    (tmp_path / "scan.nii.gz").write_bytes(gzip.compress(bytes(raw)))
    stored = np.frombuffer(raw[352:], dtype="<i2").reshape(SHAPE, order="F")
    volume = nifti.read(tmp_path / "scan.nii.gz")
    assert volume.voxels.dtype == np.float32
    assert volume.voxels[0] == pytest.approx(stored * 2.0 - 1000.0)
    _, found = written_beside(tmp_path / "scan.nii.gz")
    assert np.array_equal(np.asarray(found.dataobj), labels())


def test_the_fourth_axis_becomes_channels(tmp_path):
    voxels = np.random.default_rng(1).integers(0, 99, (*SHAPE, 3)).astype(np.int16)
    nibabel.Nifti1Image(voxels, OBLIQUE).to_filename(tmp_path / "scan.nii.gz")
    volume = nifti.read(tmp_path / "scan.nii.gz")
    assert volume.voxels.shape == (3, *SHAPE)
    assert np.array_equal(volume.voxels[2], voxels[..., 2])
    assert written_beside(tmp_path / "scan.nii.gz")[1].shape == SHAPE


def test_a_grid_without_header_is_written_in_millimetres(tmp_path):
    nifti.write_label_map(tmp_path / "labels.nii", labels(), Grid(SHAPE, OBLIQUE))
    found = nibabel.load(tmp_path / "labels.nii")
    assert found.affine == pytest.approx(OBLIQUE, abs=1e-5)
    assert found.header.get_xyzt_units()[0] == "mm"


def test_the_same_label_map_gives_the_same_bytes(tmp_path):
    for name in ("a.nii.gz", "b.nii.gz"):
        nifti.write_label_map(tmp_path / name, labels(), Grid(SHAPE, OBLIQUE))
    assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes()


# What is refused


@pytest.fixture
def whole(tmp_path):
    """The bytes of a sound scan, and a path for a damaged one."""
    voxels = np.random.default_rng(2).integers(0, 4000, (20, 20, 20)).astype(np.int16)
    nibabel.Nifti1Image(voxels, OBLIQUE).to_filename(tmp_path / "whole.nii.gz")
    return (tmp_path / "whole.nii.gz").read_bytes(), tmp_path / "scan.nii.gz"


@pytest.mark.parametrize("share", [0.0, 0.001, 0.1, 0.5, 0.99])
def test_a_truncated_file_is_refused(whole, share):
    content, path = whole
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ImageError, match=r"scan\.nii\.gz: cannot be read: ") as caught:
        nifti.read(path)
    assert "\n" not in str(caught.value)


def test_a_truncated_plain_file_is_refused(whole, tmp_path):
    content = gzip.decompress(whole[0])
    (tmp_path / "scan.nii").write_bytes(content[:-100])
    with pytest.raises(ImageError, match="cannot be read"):
        nifti.read(tmp_path / "scan.nii")


def test_a_flipped_bit_is_noticed(whole):
    content, path = whole
    damaged = bytearray(content)
    damaged[len(content) // 2] ^= 0xFF
    path.write_bytes(bytes(damaged))
    with pytest.raises(ImageError, match="cannot be read"):
        nifti.read(path)


def test_a_text_file_is_refused(tmp_path):
    (tmp_path / "scan.nii").write_text("not an image")
    with pytest.raises(ImageError, match="Copy or convert the file anew from its source"):
        nifti.read(tmp_path / "scan.nii")


def test_colours_are_refused(tmp_path):
    colours = np.zeros(SHAPE, dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
    nibabel.Nifti1Image(colours, np.eye(4)).to_filename(tmp_path / "scan.nii")
    with pytest.raises(ImageError, match="Export the scan as a grey-scale image"):
        nifti.read(tmp_path / "scan.nii")


@pytest.mark.parametrize("shape", [(5, 6), (5,), (5, 6, 7, 2, 3)])
def test_what_is_no_volume_is_refused(shape, tmp_path):
    nibabel.Nifti1Image(np.zeros(shape, dtype=np.int16), np.eye(4)).to_filename(tmp_path / "a.nii")
    with pytest.raises(ImageError, match="has the shape"):
        nifti.read(tmp_path / "a.nii")


@pytest.mark.parametrize(
    "affine", [np.zeros((4, 4)), np.diag([1, 1, 0, 1]), np.full((4, 4), np.nan)]
)
def test_an_affine_that_is_no_place_is_refused(affine, tmp_path):
    image = nibabel.Nifti1Image(np.zeros(SHAPE, dtype=np.int16), np.eye(4))
    image.header["sform_code"] = 1
    for row, values in zip(("srow_x", "srow_y", "srow_z"), affine, strict=False):
        image.header[row] = values
    (tmp_path / "scan.nii").write_bytes(
        image.header.binaryblock + bytes(4) + np.zeros(SHAPE, dtype=np.int16).tobytes()
    )
    with pytest.raises(ImageError, match="has no usable position"):
        nifti.read(tmp_path / "scan.nii")


def test_scale_factors_that_are_no_numbers_are_refused(tmp_path):
    raw = bytearray(scan(GEOMETRIES["identity"]).to_bytes())
    raw[112:120] = struct.pack("<ff", 2.0, float("nan"))
    (tmp_path / "scan.nii").write_bytes(bytes(raw))
    with pytest.raises(ImageError, match=r"cannot be read: .*intercept"):
        nifti.read(tmp_path / "scan.nii")


def test_scale_factors_that_overflow_give_infinity(tmp_path):
    raw = bytearray(scan(GEOMETRIES["identity"], dtype=np.float32).to_bytes())
    raw[112:120] = struct.pack("<ff", 3e38, 0.0)
    (tmp_path / "scan.nii").write_bytes(bytes(raw))
    assert np.isinf(nifti.read(tmp_path / "scan.nii").voxels[0, 4, 5, 6])


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (errno.ENOSPC, r"no space left on device\. Free some space"),
        (errno.EROFS, r"read-only file system\. That disk is read-only"),
        (errno.EACCES, r"permission denied\. Choose a folder you may write to"),
    ],
)
def test_a_place_that_refuses_leaves_nothing_behind(number, remedy, tmp_path, monkeypatch):
    def refuse(path, content):
        with path.open("wb") as file:
            file.write(content[:10])
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Path, "write_bytes", refuse)
    with pytest.raises(OutputError, match=remedy):
        nifti.write_label_map(tmp_path / "labels.nii.gz", labels(), Grid(SHAPE, OBLIQUE))
    assert list(tmp_path.iterdir()) == []


def test_a_label_map_that_reads_back_differently_is_refused(tmp_path, monkeypatch):
    def spoil(path, content):
        with path.open("wb") as file:
            file.write(gzip.compress(gzip.decompress(content)[:-1] + b"\x09"))

    monkeypatch.setattr(Path, "write_bytes", spoil)
    with pytest.raises(OutputError, match="differs from what should have been"):
        nifti.write_label_map(tmp_path / "labels.nii.gz", labels(), Grid(SHAPE, OBLIQUE))
    assert list(tmp_path.iterdir()) == []


def test_what_was_there_survives_a_failure(tmp_path, monkeypatch):
    path = tmp_path / "labels.nii.gz"
    path.write_bytes(b"earlier")
    monkeypatch.setattr(nifti, "_reads_back", lambda *_: False)
    with pytest.raises(OutputError):
        nifti.write_label_map(path, labels(), Grid(SHAPE, OBLIQUE))
    assert path.read_bytes() == b"earlier"
    assert files.sha256(path)


@pytest.mark.parametrize(("code", "unit"), [(1, "metres"), (3, "micrometres"), (1 + 8, "metres")])
def test_a_file_in_other_units_is_refused(tmp_path, code, unit):
    with pytest.raises(ImageError, match=f"is measured in {unit}, not in millimetres"):
        nifti.read(_in_units(tmp_path, code))


@pytest.mark.parametrize("code", [0, 2, 4, 7, 64 + 2, 255])
def test_millimetres_and_codes_without_meaning_are_taken(tmp_path, code):
    assert nifti.read(_in_units(tmp_path, code)).grid.shape == (3, 4, 5)


def _in_units(folder, code):
    content = bytearray(nibabel.Nifti1Image(np.zeros((3, 4, 5), np.uint8), np.eye(4)).to_bytes())
    content[123] = code  # xyzt_units
    path = folder / "scan.nii"
    path.write_bytes(content)
    return path


def test_numbers_are_written_on_the_scan_s_grid(tmp_path, rng):
    scan(GEOMETRIES["oblique"]).to_filename(tmp_path / "scan.nii.gz")
    values = rng.random(SHAPE).astype(np.float32)
    nifti.write_map(tmp_path / "map.nii.gz", values, formats.read(tmp_path / "scan.nii.gz").grid)
    found = nibabel.load(tmp_path / "map.nii.gz")
    assert np.array_equal(found.affine, nibabel.load(tmp_path / "scan.nii.gz").affine)
    assert np.array_equal(np.asarray(found.dataobj), values)
    assert found.get_data_dtype() == np.float32


@pytest.mark.parametrize(
    ("name", "tells"),
    [("identity", True), ("qform only", True), ("neither sform nor qform", False)],
)
def test_a_grid_knows_whether_its_file_tells_left_from_right(name, tells, tmp_path):
    scan(GEOMETRIES[name]).to_filename(tmp_path / "scan.nii")
    assert nifti.read(tmp_path / "scan.nii").grid.tells_sides is tells
    nibabel.AnalyzeImage(np.ones(SHAPE, np.int16), np.eye(4)).to_filename(tmp_path / "old.img")
    assert not nifti.read(tmp_path / "old.img").grid.tells_sides


@pytest.mark.parametrize("name", ["x.nii", "x.nii.gz", "x.img"])
@pytest.mark.parametrize("stored", [np.float64, ">f4", np.int16])
def test_real_voxels_are_read_in_pieces_as_nibabel_reads_them(
    name, stored, tmp_path, rng, monkeypatch
):
    monkeypatch.setattr(nifti, "_PIECE_VOXELS", 150)
    kind = nibabel.Nifti1Pair if name == "x.img" else nibabel.Nifti1Image
    image = kind((1000 * rng.normal(size=(5, 6, 7, 2))).astype(stored), np.eye(4))
    if stored is np.int16:
        image.header.set_slope_inter(0.37, -3.3)
    image.to_filename(tmp_path / name)
    expected = np.asanyarray(nibabel.load(tmp_path / name).dataobj).astype(np.float32)
    found = nifti.read(tmp_path / name).voxels
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, np.moveaxis(expected, 3, 0))
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[: len(content) * 2 // 3])
    with pytest.raises(ImageError, match="cannot be read"):
        nifti.read(tmp_path / name)
