"""The volume of every region, in millilitres.

The number of voxels times the volume of one, without weighting those on the border.
"""

from pathlib import Path
from typing import Final

from medseg.evaluation.clinical import Number, VolumesMl

SOURCE: Final = "medseg/evaluation/pair.py"
REGIONS: Final[tuple[str, ...]] = ()
NEEDS_DATA: Final = False


def compute(volumes_ml: VolumesMl, data: Path | None = None) -> list[Number]:  # noqa: ARG001
    """Measure every region of every case."""
    return [
        Number(case, f"{region} volume", "mL", volume_ml)
        for case, by_region in volumes_ml.items()
        for region, volume_ml in by_region.items()
    ]
