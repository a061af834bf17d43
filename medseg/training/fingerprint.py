"""What the training cases are like: their sizes, spacings and CT intensities.

Every case is read whole and checked here, before hours are spent on training.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float32

from medseg.data.cases import Case, read_image, read_labels
from medseg.data.description import describe_labels, describe_scan, gathered
from medseg.data.intensity import window
from medseg.errors import DataError
from medseg.experience import Experience
from medseg.recipe import Window
from medseg.shapes import Shape, Spacing
from medseg.task import Task
from medseg.volume import to_ras

VALUES_PER_CASE = 10_000


@dataclass
class Fingerprint:
    """Sizes and spacings along the RAS axes, and statistics of CT channels.

    Attributes:
        shapes: Voxels of each case.
        spacings_mm: Voxel size of each case.
        windows: For each CT channel, the statistics of labelled voxels.
        experience: What the bundle keeps of the cases.
    """

    shapes: list[Shape] = field(default_factory=list)
    spacings_mm: list[Spacing] = field(default_factory=list)
    windows: dict[str, Window] = field(default_factory=dict)
    experience: Experience | None = None


def measure(cases: tuple[Case, ...], task: Task, *, on_case: Callable[[str], None]) -> Fingerprint:
    """Read and check every case.

    Raises:
        ImageError: A scan cannot be used.
        DataError: A label map is missing or contradicts the task, or no case has a label.
    """
    found = Fingerprint()
    ct_channels = [n for n, modality in enumerate(task.channels.values()) if modality == "ct"]
    values: dict[int, list[Float32[np.ndarray, " voxels"]]] = {n: [] for n in ct_channels}
    labelled = False
    scans, labels = [], []
    for case in cases:
        volume = read_image(case, task)
        label_map = read_labels(case, task, volume.grid)
        scans.append(describe_scan(volume, task))
        labels.append(describe_labels(volume, label_map, task))
        inside = label_map > 0
        labelled = labelled or bool(inside.any())
        upright = to_ras(volume)
        found.shapes.append(upright.grid.shape)
        found.spacings_mm.append(upright.spacing_mm)
        for channel in ct_channels:
            values[channel].append(_thinned(volume.voxels[channel][inside]))
        on_case(case.name)
    if not labelled:
        raise DataError(
            "no training case has a labelled voxel",
            where=task.name,
            remedy="Check that the label maps are the right files",
        )
    names = list(task.channels)
    found.experience = gathered(scans, labels)
    found.windows = {names[n]: window(np.concatenate(parts)) for n, parts in values.items()}
    return found


def _thinned(values: np.ndarray) -> Float32[np.ndarray, " voxels"]:
    step = max(1, len(values) // VALUES_PER_CASE)
    return values[::step].astype(np.float32)
