"""NIfTI-1 and NIfTI-2 through nibabel, and the formats nibabel reads beside them.

The header of a NIfTI file is kept byte for byte in the volume's grid. A label map written on
that grid gets it back: the same affine, qform, sform, codes and units. Fields of free text are
emptied, because they may hold a patient's name.
"""

import gzip
import math
import zlib
from pathlib import Path
from typing import Any, Final

import nibabel
import numpy as np
from jaxtyping import Float32, Shaped
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError
from nibabel.wrapstruct import WrapStructError

from medseg import files, formats
from medseg.errors import ImageError
from medseg.formats import ANY, Choice
from medseg.shapes import LabelMap, Voxels
from medseg.volume import Grid, Volume

SUFFIXES: Final = (".nii", ".nii.gz", ".hdr", ".img", ".hdr.gz", ".img.gz", ".mgz", ".mgh")

_NIFTI1_HEADER_BYTES: Final = 348
_CHUNK_BYTES: Final = 1 << 20
_PIECE_VOXELS: Final = 1 << 22
_FREE_TEXT: Final = ("data_type", "db_name", "intent_name", "aux_file", "unused_str")
_FOREIGN_UNITS: Final = {1: "metres", 3: "micrometres"}
_PLACE: Final = (
    *("qform_code", "sform_code", "xyzt_units", "quatern_b", "quatern_c", "quatern_d"),
    *("qoffset_x", "qoffset_y", "qoffset_z", "srow_x", "srow_y", "srow_z"),
)
_DAMAGED: Final = (
    ImageFileError,
    HeaderDataError,
    WrapStructError,
    OSError,
    EOFError,
    zlib.error,
    ValueError,
    OverflowError,
)


def read(path: Path, choice: Choice = ANY) -> Volume:
    """Read `path`; the fourth axis becomes the channels, unless `choice` names one volume.

    Raises:
        ImageError: The file is truncated, damaged, no image, or has no usable geometry.
    """
    try:
        image, array = _load(path)
        voxels = formats.as_numbers(array, where=path)
    except _DAMAGED as error:
        raise ImageError(
            f"cannot be read: {_reason(error)}",
            where=path,
            remedy="Copy or convert the file anew from its source",
        ) from error
    channels_first, trailing_axes = _channels_first(voxels, choice, path)
    affine = formats.as_affine(image.affine, where=path)
    header = None
    if isinstance(image, nibabel.Nifti1Pair):
        _check_units(image.header, path)
        header = image.header.binaryblock
    i, j, k = channels_first.shape[1:]
    grid = Grid((i, j, k), affine, header, trailing_axes, tells_sides=_tells_sides(image))
    return Volume(channels_first, grid)


def write_label_map(path: Path, label_map: LabelMap, grid: Grid, *, note: bytes = b"") -> None:
    """Write a label map on exactly `grid`, then read it back and compare.

    Args:
        path: Where to write; `.nii` or `.nii.gz`.
        label_map: Non-negative values below 65536.
        grid: The grid of the scan the label map belongs to.
        note: What the header's extension holds; there is none if it is empty.

    Raises:
        OutputError: It cannot be written, or what was read back differs.
    """
    _write(path, label_map, grid, note)


def write_map(path: Path, values: Float32[np.ndarray, "i j k"], grid: Grid) -> None:
    """Write one number per voxel on exactly `grid`, then read it back and compare.

    Raises:
        OutputError: It cannot be written, or what was read back differs.
    """
    _write(path, values, grid)


def compressed(voxels: Shaped[np.ndarray, "i j k"], grid: Grid, *, note: bytes = b"") -> bytes:
    """Return what a `.nii.gz` with these voxels holds, byte for byte the same every time."""
    return gzip.compress(_image(voxels, grid, note).to_bytes(), compresslevel=4, mtime=0)


def _write(path: Path, voxels: Shaped[np.ndarray, "i j k"], grid: Grid, note: bytes = b"") -> None:
    if path.name.lower().endswith(".gz"):
        content = compressed(voxels, grid, note=note)
    else:
        content = _image(voxels, grid, note).to_bytes()
    with files.replacing(path) as temporary:
        temporary.write_bytes(content)
        if not _reads_back(temporary, voxels, grid):
            raise files.altered(path)


def _load(path: Path) -> tuple[Any, np.ndarray]:
    image = nibabel.load(path)
    if not (isinstance(image, nibabel.Nifti1Image) and path.name.lower().endswith(".gz")):
        return image, _array(image.dataobj)
    with gzip.open(path) as stream:
        array = _array(type(image).from_stream(stream).dataobj)
        while stream.read(_CHUNK_BYTES):
            pass  # gzip compares its checksum when the end is read, which nibabel alone never does
    return image, array


def _array(stored: Any) -> np.ndarray:
    """Read the voxels, real ones as float32 and piece by piece: nibabel makes float64 of them."""
    shape = stored.shape
    scaled = (stored.slope, stored.inter) != (1, 0) and stored.dtype.kind in "iu"
    axis = max((n for n, length in enumerate(shape) if length > 1), default=None)
    if axis is None or 0 in shape or not (scaled or stored.dtype.kind == "f"):
        return np.asanyarray(stored)
    result = np.empty(shape, np.float32, order="F")
    step = max(1, _PIECE_VOXELS * shape[axis] // math.prod(shape))
    for start in range(0, shape[axis], step):
        piece = (slice(None),) * axis + (slice(start, start + step),)
        with np.errstate(over="ignore"):  # too large for float32 becomes infinite, refused later
            result[piece] = stored[piece]
    return result


def _image(voxels: Shaped[np.ndarray, "i j k"], grid: Grid, note: bytes = b"") -> Any:
    shaped = voxels.reshape(*voxels.shape, *(1,) * grid.trailing_axes)
    image = _headed(shaped, grid)
    if note:
        image.header["vox_offset"] = 0  # nibabel makes room
        image.header.extensions.append(nibabel.nifti1.Nifti1Extension("ignore", note))
    return image


def _headed(shaped: Shaped[np.ndarray, "i j k ..."], grid: Grid) -> Any:
    """Return an image with the header of `grid`, less its free text, or one of its own."""
    if grid.header is None:
        image = nibabel.Nifti1Image(shaped, grid.affine)
        image.header.set_xyzt_units("mm")
        return image
    is_nifti1 = len(grid.header) == _NIFTI1_HEADER_BYTES
    kind = nibabel.Nifti1Image if is_nifti1 else nibabel.Nifti2Image
    header = kind.header_class(grid.header, check=False)
    header.set_data_dtype(shaped.dtype)
    header.set_slope_inter(1, 0)
    header.set_data_shape(shaped.shape)
    header.set_intent("none")
    for field in set(_FREE_TEXT) & set(header.keys()):  # NIfTI-2 has others
        header[field] = b""
    header["descrip"] = b"medseg, research use only"
    header["cal_min"], header["cal_max"] = 0, 0
    return kind(shaped, header.get_best_affine(), header)


def _reads_back(written: Path, voxels: Shaped[np.ndarray, "i j k"], grid: Grid) -> bool:
    try:
        back = nibabel.load(written)
        found = np.asanyarray(back.dataobj)
    except _DAMAGED:
        return False
    same_shape = found.shape == voxels.shape + (1,) * grid.trailing_axes
    if not same_shape or not np.array_equal(found.reshape(voxels.shape), voxels):
        return False
    if grid.header is None:
        return bool(np.allclose(back.affine, grid.affine, rtol=1e-6, atol=1e-4))
    return np.array_equal(back.affine, grid.affine) and _places(back.header) == _places(
        type(back.header)(grid.header, check=False)
    )


def _places(header: Any) -> list[bytes]:
    """Return the fields of a header that say where voxels lie, byte for byte."""
    spacing = header["pixdim"][:4].tobytes()
    return [spacing, *(header[field].tobytes() for field in _PLACE)]


def _channels_first(voxels: np.ndarray, choice: Choice, path: Path) -> tuple[Voxels, int]:
    shape = voxels.shape
    trailing = 0
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
        trailing += 1
    if len(shape) == 5 and shape[3] == 1:  # NIfTI keeps vectors on the fifth axis
        shape = (*shape[:3], shape[4])
    if len(shape) == 5 and choice.volume is not None:
        return _of_five_axes(voxels.reshape(shape), choice, path), 0
    if len(shape) not in (3, 4) or 0 in shape:
        raise ImageError(
            f"has the shape {voxels.shape}",
            where=path,
            remedy="Give a volume with three axes, or four where the last holds the channels;"
            " of a file with five, choose one with --volume",
        )
    channels_first = np.moveaxis(voxels.reshape(*shape[:3], -1), 3, 0)
    return formats.chosen_volume(channels_first, choice, where=path), trailing


def _of_five_axes(
    voxels: Shaped[np.ndarray, "i j k t c"], choice: Choice, path: Path
) -> Shaped[np.ndarray, "1 i j k"]:
    numbers, counts = choice.volume or (), voxels.shape[3:]
    inside = [1 <= number <= count for number, count in zip(numbers, counts, strict=False)]
    if len(numbers) != len(counts) or not all(inside):
        raise formats.no_such_volume(choice, counts, where=path)
    return np.array(voxels[:, :, :, numbers[0] - 1, numbers[1] - 1], order="K")[None]


def _tells_sides(image: Any) -> bool:
    """Tell whether the file says how the patient lies; Analyze cannot, NIfTI need not."""
    if isinstance(image, nibabel.Nifti1Pair):
        return bool(image.header["qform_code"] > 0 or image.header["sform_code"] > 0)
    return not isinstance(image, nibabel.AnalyzeImage)


def _check_units(header: Any, path: Path) -> None:
    units = _FOREIGN_UNITS.get(int(header["xyzt_units"]) & 0b111)  # the other bits are of time
    if units is not None:
        raise ImageError(
            f"is measured in {units}, not in millimetres",
            where=path,
            remedy="Scale the affine of its header to millimetres, or correct its xyzt_units",
        )


def _reason(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    first = (str(error) or type(error).__name__).splitlines()[0].rstrip(".")
    return first[:1].lower() + first[1:]
