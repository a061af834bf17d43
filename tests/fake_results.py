"""Results as `medseg predict` leaves them, for tests of what is made of them."""

from dataclasses import asdict

import numpy as np
from scipy.spatial.transform import Rotation

from medseg.data.cases import Case, read_image
from medseg.data.description import describe_labels
from medseg.inference.quality import assess
from medseg.inference.report import Entry

SHAPE = (40, 36, 20)
SPACING_MM = (1.0, 1.5, 2.5)
NASTY = "x<script>window.hacked=1<!--script>\"'&<img src=x onerror=window.hacked=2>"
"""What a file may be called on Linux."""


def affine_of():
    """Oblique, anisotropic, and with i towards the patient's left."""
    affine = np.eye(4)
    turned = Rotation.from_euler("xyz", [8, -5, 6], degrees=True).as_matrix()
    affine[:3, :3] = turned @ np.diag([-1, 1, 1]) * SPACING_MM
    affine[:3, 3] = [30, -20, 50]
    return affine


def bodies(shift=0):
    """Three nested balls; the innermost is near the body's end of low i: the patient's right."""
    places = np.moveaxis(np.indices(SHAPE), 0, -1)
    labels = np.zeros(SHAPE, np.uint8)
    for value, centre, radius_mm in ((1, 20, 14), (2, 16, 10), (4, 12, 5)):
        apart_mm = (places - (centre + shift, 18, 10)) * SPACING_MM
        labels[(apart_mm**2).sum(axis=-1) <= radius_mm**2] = value
    return labels


def scan_of(labels, rng):
    first = 200 + 60 * (labels > 0) + rng.normal(0, 15, SHAPE)
    second = 100 + 20 * labels + rng.normal(0, 10, SHAPE)
    return np.stack([first, second], axis=-1).astype(np.float32)


def entry_of(name, image, output, labels, task):
    recorded = {
        "case": name,
        "input": [str(image)],
        "output": str(output),
        "model": "5eed" * 16,
        "inputs_state": [],
        "settings": {"series": "DOE^JANE head", "volume": None, "uncertainty": False},
    }
    if labels is None:
        return Entry(**recorded, status="failed", error=f"{image} cannot be read. Copy it anew.")
    described = describe_labels(read_image(Case(name, (image,)), task), labels, task)
    if labels.any():
        quality = assess(described, {"rim": 0.25}, None, task, warnings=[])
    else:
        quality = assess(described, {}, None, task, warnings=["nothing <i>at all</i>"])
    return Entry(
        **recorded,
        status="done",
        label_values={label: task.labels[label].value for label in task.labels},
        seconds=1.5,
        peak_memory_mb={"host": 100.0},
        volumes_ml={label: each.volume_ml for label, each in described.items()},
        quality=asdict(quality),
    )
