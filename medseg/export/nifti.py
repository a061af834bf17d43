"""A label map in NIfTI, on exactly the grid and header of the scan."""

from pathlib import Path
from typing import Final

from medseg.formats import nifti
from medseg.segmentation import Segmentation, label_map_dtype

SUFFIX: Final = ".nii.gz"


def write(path: Path, segmentation: Segmentation) -> None:
    """Write the labels with the values the task gives them.

    Raises:
        OutputError: It cannot be written, or what was read back differs.
    """
    label_map = segmentation.label_map.astype(label_map_dtype(segmentation.task), copy=False)
    nifti.write_label_map(path, label_map, segmentation.grid)
