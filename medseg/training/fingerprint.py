"""What the training cases are like: their sizes, spacings and CT intensities."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from medseg.data.description import gathered
from medseg.data.intensity import window
from medseg.experience import Experience
from medseg.recipe import Window
from medseg.shapes import Shape, Spacing
from medseg.survey.measure import Measured, require_labelled
from medseg.task import Task


@dataclass
class Fingerprint:
    """Sizes and spacings along the RAS axes, and statistics of CT channels.

    Attributes:
        shapes: Voxels of each case, without what is background for certain.
        spacings_mm: Voxel size of each case.
        windows: For each CT channel, the statistics of labelled voxels.
        experience: What the bundle keeps of the cases.
    """

    shapes: list[Shape] = field(default_factory=list)
    spacings_mm: list[Spacing] = field(default_factory=list)
    windows: dict[str, Window] = field(default_factory=dict)
    experience: Experience | None = None


def of(cases: Sequence[Measured], task: Task) -> Fingerprint:
    """Put together what was measured of the training cases.

    Raises:
        DataError: No case has a label.
    """
    require_labelled(cases, task)
    scans = [case.scan for case in cases if case.scan is not None]
    return Fingerprint(
        shapes=[case.inside or case.shape for case in cases if case.shape is not None],
        spacings_mm=[case.spacing_mm for case in cases if case.spacing_mm is not None],
        windows={
            name: window(np.concatenate([case.samples[name] for case in cases]))
            for name, modality in task.channels.items()
            if modality == "ct"
        },
        experience=gathered(scans, [dict(case.labels) for case in cases if case.scan is not None]),
    )
