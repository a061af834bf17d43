"""A segmentation for 3D Slicer (`.seg.nrrd`): names, colours and codes come with the voxels.

Every label is a segment of layer 0. A region made of several labels overlaps them, so it is
written only if asked for and gets a layer of its own; a file with one layer has three axes, one
with several has four. Segments that were not found are listed too. Equal segmentations give equal
bytes.
"""

import gzip
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from jaxtyping import UInt8, UInt16

from medseg import files, regions
from medseg.export import PLAIN, Settings
from medseg.segmentation import Segmentation, label_map_dtype
from medseg.shapes import LabelMap, Mask
from medseg.task import Appearance, Task
from medseg.volume import Grid

FORMAT: Final = "seg.nrrd"
SUFFIX: Final = ".seg.nrrd"
NEEDS_SERIES: Final = False

Layers = UInt8[np.ndarray, "layers i j k"] | UInt16[np.ndarray, "layers i j k"]

_LPS_FROM_RAS: Final = np.diag([-1.0, -1.0, 1.0, 1.0])
_TYPES: Final = {1: "unsigned char", 2: "unsigned short"}
_CATEGORIES: Final = "Segmentation category and type - DICOM master list"
_ANATOMY: Final = "Anatomic codes - DICOM master list"
_NO_CODE: Final = "^^"
_COMPRESSION: Final = 4


@dataclass(frozen=True)
class Segment:
    """One structure of the file.

    Attributes:
        name: The label or region.
        title: What Slicer shows.
        appearance: Its colour and codes.
        value: Stands for it in its layer.
        layer: 0 for a label, the number of its own layer for a region.
    """

    name: str
    title: str
    appearance: Appearance
    value: int
    layer: int

    @property
    def key(self) -> str:
        """A name that no other segment of the file has."""
        return f"region.{self.name}" if self.layer else self.name


def write(path: Path, segmentation: Segmentation, settings: Settings = PLAIN) -> None:
    """Write every label, and if asked for every region of several labels.

    Raises:
        OutputError: It cannot be written, or what was read back differs.
    """
    files.write_verified(path, content(segmentation, with_regions=settings.regions))


def content(segmentation: Segmentation, *, with_regions: bool) -> bytes:
    """Return the bytes of the file."""
    shown = segments(segmentation.task, with_regions=with_regions)
    voxels = _layers(shown, segmentation).tobytes(order="F")
    header = _header(shown, segmentation).encode("utf-8")
    return header + gzip.compress(voxels, compresslevel=_COMPRESSION, mtime=0)


def segments(task: Task, *, with_regions: bool) -> list[Segment]:
    """Return the labels of `task`, then, if wanted, its regions made of several labels."""
    labels = [
        Segment(name, task.title_of(name), label, label.value, layer=0)
        for name, label in task.labels.items()
    ]
    several = [name for name in task.regions if len(task.labels_of(name)) > 1]
    unions = [
        Segment(name, region.title or task.title_of(name), region, value=1, layer=layer)
        for layer, name in enumerate(several, start=1)
        for region in [task.regions[name]]
    ]
    return labels + unions if with_regions else labels


def mask_of(segment: Segment, label_map: LabelMap, task: Task) -> Mask:
    """Return where `label_map` holds a label, or one of those that a region is made of."""
    if segment.layer:
        return regions.mask_of(label_map, task, segment.name)
    return label_map == segment.value


def terminology(appearance: Appearance, task: Task) -> str:
    """Return the codes of a structure as Slicer's terminology entry."""
    parts = (
        _CATEGORIES,
        appearance.category,
        appearance.code,
        appearance.modifier or _NO_CODE,
        _ANATOMY,
        task.region_code_of(appearance) or _NO_CODE,
        _NO_CODE,
    )
    return "~".join(parts)


def _layers(shown: list[Segment], segmentation: Segmentation) -> Layers:
    task = segmentation.task
    unions = [segment for segment in shown if segment.layer]
    masks = [mask_of(segment, segmentation.label_map, task) for segment in unions]
    return np.stack([segmentation.label_map, *masks]).astype(label_map_dtype(task), copy=False)


def _header(shown: list[Segment], segmentation: Segmentation) -> str:
    layers = 1 + max(segment.layer for segment in shown)
    lines = [
        "NRRD0004",
        *_geometry(segmentation.grid, layers, label_map_dtype(segmentation.task)),
        *(
            line
            for number, segment in enumerate(shown)
            for line in _description(number, segment, segmentation)
        ),
        "Segmentation_MasterRepresentation:=Binary labelmap",
        "Segmentation_ContainedRepresentationNames:=Binary labelmap|Closed surface|",
        "Segmentation_ReferenceImageExtentOffset:=0 0 0",
    ]
    return "\n".join(lines) + "\n\n"


def _geometry(grid: Grid, layers: int, dtype: type[np.unsignedinteger]) -> Iterator[str]:
    lps = _LPS_FROM_RAS @ grid.affine + 0.0  # a negative zero becomes zero
    sizes = " ".join(str(size) for size in grid.shape)
    directions = " ".join(_vector(lps[:3, axis]) for axis in range(3))
    several = layers > 1
    itemsize = np.dtype(dtype).itemsize
    yield f"type: {_TYPES[itemsize]}"
    yield f"dimension: {4 if several else 3}"
    yield "space: left-posterior-superior"
    yield f"sizes: {layers} {sizes}" if several else f"sizes: {sizes}"
    yield f"space directions: none {directions}" if several else f"space directions: {directions}"
    yield f"kinds: {'list ' if several else ''}domain domain domain"
    if itemsize > 1:
        yield "endian: little"
    yield "encoding: gzip"
    yield f"space origin: {_vector(lps[:3, 3])}"


def _vector(values: np.ndarray) -> str:
    return f"({','.join(repr(float(value)) for value in values)})"


def _description(number: int, segment: Segment, segmentation: Segmentation) -> Iterator[str]:
    rgb = " ".join(f"{value / 255:.6f}" for value in segment.appearance.rgb)
    extent = " ".join(f"0 {size - 1}" for size in segmentation.grid.shape)
    codes = terminology(segment.appearance, segmentation.task)
    fields = {
        "ID": segment.key,
        "Name": _escaped(segment.title),
        "Color": rgb,
        "LabelValue": segment.value,
        "Layer": segment.layer,
        "Extent": extent,  # Slicer cuts away what lies outside
        "NameAutoGenerated": 0,
        "ColorAutoGenerated": 0,
        "Tags": f"Segmentation.Status:completed|TerminologyEntry:{_escaped(codes)}|",
    }
    for field, value in fields.items():
        yield f"Segment{number}_{field}:={value}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")
