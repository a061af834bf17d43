"""A label map in NIfTI, on exactly the grid and header of the scan.

What the values mean stands in an extension of the header, in the form that Connectome Workbench
and TotalSegmentator use (`LabelTable`); programs that do not know it pass over it.
"""

from pathlib import Path
from typing import Final
from xml.etree import ElementTree

from medseg.export import PLAIN, Settings
from medseg.formats import nifti
from medseg.segmentation import Segmentation, label_map_dtype
from medseg.task import Task

FORMAT: Final = "nii.gz"
SUFFIX: Final = ".nii.gz"
NEEDS_SERIES: Final = False


def write(path: Path, segmentation: Segmentation, settings: Settings = PLAIN) -> None:
    """Write the labels with the values the task gives them.

    Raises:
        OutputError: It cannot be written, or what was read back differs.
    """
    task = segmentation.task
    label_map = segmentation.label_map.astype(label_map_dtype(task), copy=False)
    nifti.write_label_map(path, label_map, segmentation.grid, note=label_table(task))


def label_table(task: Task) -> bytes:
    """Return names and colours of the labels as XML."""
    root = ElementTree.Element("CaretExtension")
    information = ElementTree.SubElement(root, "VolumeInformation", Index="0")
    table = ElementTree.SubElement(information, "LabelTable")
    for name, label in task.labels.items():
        parts = zip(("Red", "Green", "Blue"), label.rgb, strict=True)
        colour = {part: f"{value / 255:.6f}" for part, value in parts}
        entry = {"Key": str(label.value), **colour, "Alpha": "1"}
        ElementTree.SubElement(table, "Label", entry).text = name
    ElementTree.SubElement(information, "VolumeType").text = "Label"
    return ElementTree.tostring(root, encoding="UTF-8", xml_declaration=True)
