"""Random changes to training patches, by MONAI and, where it is slow, our own equal ones."""

from typing import Any, Final

import numpy as np

from medseg.recipe import Augmentation
from medseg.task import Task

IMAGE, LABELS = "image", "labels"
AXES: Final = ("x", "y", "z")


def augmentation(task: Task, settings: Augmentation) -> Any:
    """Return MONAI's `Compose` of the random changes that `settings` describe.

    It takes and returns a dictionary of `image` (channels i j k) and `labels` (1 i j k), whose
    axes are RAS+. Only the axes that the task allows are mirrored, since mirroring would turn a
    left structure into a right one.
    """
    from monai import transforms

    from medseg.data.random_changes import RandomAffine, RandomNoise

    across = settings.slices_across
    often = settings.intensity_probability
    angle = np.deg2rad(settings.rotate_degrees)
    mirrors = [
        transforms.RandFlipd((IMAGE, LABELS), prob=settings.mirror_probability, spatial_axis=axis)
        for axis, name in enumerate(AXES)
        if name in task.mirror_axes
    ]
    return transforms.Compose(
        [
            RandomAffine(
                IMAGE,
                LABELS,
                probability=settings.geometry_probability,
                angle=float(angle),
                scale=settings.scale,
                across=AXES.index(across) if across in AXES else None,
            ),
            *mirrors,
            RandomNoise(IMAGE, probability=often, deviation=settings.noise),
            transforms.RandGaussianSmoothd(
                IMAGE,
                sigma_x=(0.3, settings.blur_voxels),
                sigma_y=(0.3, settings.blur_voxels),
                sigma_z=(0.3, settings.blur_voxels),
                prob=often,
            ),
            transforms.RandScaleIntensityd(IMAGE, factors=settings.brightness, prob=often),
            transforms.RandAdjustContrastd(
                IMAGE, prob=often, gamma=(1 / settings.gamma, settings.gamma), retain_stats=True
            ),
        ]
    )
