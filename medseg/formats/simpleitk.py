"""NRRD and MetaImage through SimpleITK.

ITK's world axes point left, posterior, superior; ours point right, anterior, superior. A file
with several numbers per voxel, such as a `.seg.nrrd` with overlapping segments, has channels.
"""

import itertools
from pathlib import Path
from typing import Any, Final

import numpy as np

from medseg import formats
from medseg.errors import ImageError
from medseg.formats import ANY, Choice
from medseg.segment_names import Segment
from medseg.shapes import Affine, Voxels
from medseg.volume import Grid, Volume

SUFFIXES: Final = (".nrrd", ".seg.nrrd", ".nhdr", ".mha", ".mhd")

_RAS_FROM_LPS: Final = np.diag([-1.0, -1.0, 1.0, 1.0])


def read(path: Path, choice: Choice = ANY) -> Volume:
    """Read `path`; a fourth axis, or several numbers per voxel, become the channels.

    If `choice` names a volume, only that one is kept.

    Raises:
        ImageError: The file is truncated, damaged, no image, or has no usable geometry.
    """
    import SimpleITK

    SimpleITK.ProcessObject.GlobalWarningDisplayOff()
    try:
        image = SimpleITK.ReadImage(str(path))
    except RuntimeError as error:
        raise ImageError(
            f"cannot be read: {_reason(error)}",
            where=path,
            remedy="Save it anew from its source, gzip-compressed or plain, or as NIfTI",
        ) from error
    voxels = _channels_first(SimpleITK.GetArrayFromImage(image), image, path)
    voxels = formats.chosen_volume(voxels, choice, where=path)
    i, j, k = voxels.shape[1:]
    affine = formats.as_affine(affine_of(image), where=path)
    return Volume(formats.as_numbers(voxels, where=path), Grid((i, j, k), affine))


def segments(path: Path) -> list[Segment]:
    """Return the segments that a `.seg.nrrd` of 3D Slicer describes; none if it describes none."""
    import SimpleITK

    reader = SimpleITK.ImageFileReader()
    reader.SetFileName(str(path))
    reader.ReadImageInformation()
    told = {key: reader.GetMetaData(key) for key in reader.GetMetaDataKeys()}
    numbers = itertools.takewhile(lambda n: f"Segment{n}_ID" in told, itertools.count())
    return [
        Segment(
            key=told[f"Segment{number}_ID"],
            title=told.get(f"Segment{number}_Name", ""),
            value=int(told.get(f"Segment{number}_LabelValue", 1)),
            layer=int(told.get(f"Segment{number}_Layer", 0)),
        )
        for number in numbers
    ]


def _channels_first(array: np.ndarray, image: Any, path: Path) -> Voxels:
    dimension, components = image.GetDimension(), image.GetNumberOfComponentsPerPixel()
    if dimension == 3 and components > 1:
        return array.transpose(3, 2, 1, 0)
    if dimension == 3:
        return array.transpose(2, 1, 0)[None]
    if dimension == 4 and components == 1:
        return array.transpose(0, 3, 2, 1)
    raise ImageError(
        f"has {dimension} axes with {components} numbers per voxel",
        where=path,
        remedy="Give a volume with three axes, or four where the last holds the channels",
    )


def affine_of(image: Any) -> Affine:
    """Return voxel indices to RAS+ millimetres, of an image or of the reader of one."""
    dimension = image.GetDimension()
    directions = np.array(image.GetDirection()).reshape(dimension, dimension)
    lps = np.eye(4)
    lps[:3, :3] = directions[:3, :3] * np.array(image.GetSpacing())[:3]
    lps[:3, 3] = image.GetOrigin()[:3]
    return _RAS_FROM_LPS @ lps


def _reason(error: RuntimeError) -> str:
    """Return the last line of ITK's message, without the places in its source code."""
    last = str(error).strip().splitlines()[-1]
    reason = last.rpartition("ERROR: ")[2].rpartition("): ")[2].strip().rstrip(".")
    return reason[:1].lower() + reason[1:]
