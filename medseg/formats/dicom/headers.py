"""What the header of a DICOM file says of its image, through ITK.

Only tags that place a slice, tell series apart or explain a refusal are read; none names a patient.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from jaxtyping import Float64

from medseg import formats
from medseg.errors import ImageError

_ROWS_TAG: Final = b"\x28\x00\x10\x00"
_TAGS: Final = {
    "instance": "0008|0018",
    "modality": "0008|0060",
    "description": "0008|103e",
    "series": "0020|000e",
    "position": "0020|0032",
    "directions": "0020|0037",
    "spacing": "0028|0030",
    "acquisition": "0020|0012",
    "echo": "0018|0086",
    "time point": "0020|0100",
    "samples": "0028|0002",
}
DISTINCTIONS: Final = ("acquisition", "echo", "time point")
"""Fields by which slices at one place may differ."""


@dataclass(frozen=True)
class Header:
    """The fields of a file, and the shape of its image.

    Attributes:
        path: The file.
        fields: Text by the names of this module; absent if the file lacks it.
        shape: Number of columns, rows and frames; zeros if the file holds no image.
    """

    path: Path
    fields: dict[str, str]
    shape: tuple[int, int, int]

    @property
    def is_placed(self) -> bool:
        """Whether it says where its image lies in the patient."""
        return {"position", "directions", "spacing"} <= self.fields.keys()


@dataclass(frozen=True, eq=False)
class Slice:
    """What a slice's header says of its place.

    Attributes:
        path: Its file.
        series: The UID of the series it belongs to.
        position: Centre of its first voxel, in LPS millimetres.
        in_plane: The steps from column to column and from row to row, in LPS millimetres.
        shape: Number of columns and rows.
        fields: The header's text by name.
    """

    path: Path
    series: str
    position: Float64[np.ndarray, "3"]
    in_plane: Float64[np.ndarray, "2 3"]
    shape: tuple[int, int]
    fields: dict[str, str]


def read(path: Path) -> Header:
    """Read the header of `path`; it has no fields if the file holds no image.

    Raises:
        ImageError: It is an image that is damaged, or of a kind that ITK does not read.
    """
    import itk

    itk.ProcessObject.GlobalWarningDisplayOff()
    reader = itk.GDCMImageIO.New()
    try:
        readable = reader.CanReadFile(str(path))
        reader.SetFileName(str(path))
        if readable:
            reader.ReadImageInformation()
    except RuntimeError:
        readable = False
    if readable:
        i, j, k = (reader.GetDimensions(axis) for axis in range(3))
        return Header(path, _fields(reader.GetMetaDataDictionary()), (i, j, k))
    if _is_image(path):
        raise ImageError(
            "is damaged, or a kind of DICOM file that medseg does not read",
            where=path,
            remedy="Copy it anew, or move it away if it is not a slice of the series",
        )
    return Header(path, {}, (0, 0, 0))


def placed_slice(header: Header) -> Slice:
    """Return the slice that a header with a place describes.

    Raises:
        ImageError: A field that places it is not made of numbers, or it holds colours.
    """
    fields = header.fields
    try:
        position = _floats(fields["position"], 3)
        directions = _floats(fields["directions"], 6).reshape(2, 3)
        between_rows, between_columns = _floats(fields["spacing"], 2)
    except ValueError as error:
        raise ImageError(
            "has a position, orientation or pixel size that is not made of numbers",
            where=header.path,
            remedy="Export the series anew from the scanner or archive",
        ) from error
    if fields.get("samples", "1") != "1":
        raise ImageError(
            "holds colours instead of numbers",
            where=header.path,
            remedy="Give the series of grey-scale slices, not screenshots of it",
        )
    return Slice(
        path=header.path,
        series=fields.get("series", ""),
        position=position,
        in_plane=directions * np.array([[between_columns], [between_rows]]),
        shape=header.shape[:2],
        fields=fields,
    )


def _fields(dictionary: Any) -> dict[str, str]:
    present = set(dictionary.GetKeys())
    return {name: dictionary[tag].strip() for name, tag in _TAGS.items() if tag in present}


def _is_image(path: Path) -> bool:
    return formats.starts_as_dicom(path) and _ROWS_TAG in path.read_bytes()


def _floats(text: str, count: int) -> Float64[np.ndarray, " values"]:
    values = np.array([float(part) for part in text.split("\\")])
    if len(values) != count or not np.isfinite(values).all():
        raise ValueError(f"expected {count} numbers, got {text!r}")
    return values
