"""A scene for 3D Slicer in one file (`.mrb`): the scan, the segmentation on it, and its surfaces.

A zip file with an XML document that names the parts, and the parts: an image per channel as NIfTI,
and the `.seg.nrrd`, which asks Slicer to make surfaces as it loads. Without a scan, the scene holds
the segmentation alone. Equal scenes give equal bytes.
"""

import io
import itertools
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from xml.etree import ElementTree

import numpy as np

from medseg import files, formats
from medseg.export import PLAIN, Reference, Settings, slicer
from medseg.formats import nifti
from medseg.segmentation import Segmentation
from medseg.task import Task
from medseg.volume import Volume

FORMAT: Final = "mrb"
SUFFIX: Final = ".mrb"
NEEDS_SERIES: Final = False

_SEGMENTATION: Final = "segmentation.seg.nrrd"
_IMAGE: Final = "vtkMRMLScalarVolumeNode{}"
_SLICES: Final = ("Red", "Green", "Yellow")
_EPOCH: Final = (1980, 1, 1, 0, 0, 0)
"""The time of every part, so that equal scenes are equal files."""


def write(path: Path, segmentation: Segmentation, settings: Settings = PLAIN) -> None:
    """Write the scene; the channels of the scan are called as in the task.

    Raises:
        ImageError: The scan cannot be read.
        OutputError: It cannot be written, or what was read back differs.
    """
    volumes = [] if settings.reference is None else list(_channels(settings.reference))
    names = _names(len(volumes), segmentation.task)
    parts = {
        f"{name}.nii.gz": nifti.compressed(volume.voxels[0], volume.grid)
        for name, volume in zip(names, volumes, strict=True)
    }
    parts[_SEGMENTATION] = slicer.content(segmentation, with_regions=settings.regions)
    files.write_verified(path, _packed(parts, scene(names, segmentation.task)))


def scene(channels: list[str], task: Task) -> bytes:
    """Return the XML that puts `channels` and the segmentation into a scene."""
    root = ElementTree.Element("MRML", version="Slicer4.4.0", userTags="")
    for number, name in enumerate(channels, start=1):
        _add_volume(root, number, name)
    shown = {"backgroundVolumeID": _IMAGE.format(1)} if channels else {}
    for view in _SLICES:
        key = {"id": f"vtkMRMLSliceCompositeNode{view}", "name": "SliceComposite"}
        key |= {"singletonTag": view, "layoutName": view}
        ElementTree.SubElement(root, "SliceComposite", key | shown)
    stored, displayed = "vtkMRMLSegmentationStorageNode1", "vtkMRMLSegmentationDisplayNode1"
    file = {"fileName": f"Data/{_SEGMENTATION}"}
    ElementTree.SubElement(root, "SegmentationStorage", {"id": stored, "name": "Storage"} | file)
    ElementTree.SubElement(root, "SegmentationDisplay", {"id": displayed, "name": "Display"})
    segmentation = {"id": "vtkMRMLSegmentationNode1", "name": task.name}
    segmentation |= {"storageNodeRef": stored, "displayNodeRef": displayed}
    segmentation["SourceRepresentationName"] = "Binary labelmap"
    if channels:
        segmentation["references"] = f"referenceImageGeometryRef:{_IMAGE.format(1)};"
    ElementTree.SubElement(root, "Segmentation", segmentation)
    ElementTree.indent(root, space=" ")
    return ElementTree.tostring(root, encoding="UTF-8", xml_declaration=True)


def _add_volume(root: ElementTree.Element, number: int, name: str) -> None:
    stored = f"vtkMRMLVolumeArchetypeStorageNode{number}"
    displayed = f"vtkMRMLScalarVolumeDisplayNode{number}"
    file = {"id": stored, "name": f"{name} storage", "fileName": f"Data/{name}.nii.gz"}
    ElementTree.SubElement(root, "VolumeArchetypeStorage", file)
    shown = {"id": displayed, "name": f"{name} display", "autoWindowLevel": "1"}
    shown["colorNodeID"] = "vtkMRMLColorTableNodeGrey"
    ElementTree.SubElement(root, "VolumeDisplay", shown)
    volume = {"id": _IMAGE.format(number), "name": name}
    volume |= {"storageNodeRef": stored, "displayNodeRef": displayed}
    ElementTree.SubElement(root, "Volume", volume)


def _channels(reference: Reference) -> Iterator[Volume]:
    for path in reference.images:
        volume = formats.read(path, reference.choice)
        for channel in volume.voxels:
            known = channel.astype(np.uint8) if channel.dtype == bool else channel
            yield Volume(known[None], volume.grid)


def _names(count: int, task: Task) -> list[str]:
    """Return a name for each channel: files may be called as patients are."""
    if count == len(task.channels):
        return list(task.channels)
    return [f"channel_{number}" for number in range(1, count + 1)]


def _packed(parts: dict[str, bytes], document: bytes) -> bytes:
    folder = "medseg"
    entries = itertools.chain(
        [(f"{folder}/{folder}.mrml", document)],
        ((f"{folder}/Data/{name}", content) for name, content in parts.items()),
    )
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, content in entries:
            archive.writestr(zipfile.ZipInfo(name, _EPOCH), content)
    return packed.getvalue()
