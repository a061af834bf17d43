"""A survey in a few lines: shapes, spacings, orientations, label volumes, intensities."""

from collections import Counter
from collections.abc import Iterator

import numpy as np

from medseg.survey.survey import Survey


def lines(survey: Survey) -> Iterator[str]:
    """Yield what is known of all cases together; ranges are from the least to the greatest."""
    usable = [case for case in survey.cases if case.shape is not None]
    if not usable:
        return
    shapes = np.array([case.shape for case in usable])
    spacings = np.array([case.spacing_mm for case in usable])
    yield f"Shapes (RAS): {_range(shapes, 'voxels')}"
    yield f"Spacings (RAS): {_range(spacings, 'mm')}"
    turned = Counter(case.orientation for case in usable)
    yield "Orientations: " + ", ".join(f"{name} ({count})" for name, count in turned.items())
    for name in survey.task.labels:
        volumes = [case.volumes_ml[name] for case in usable]
        there = [volume for volume in volumes if volume > 0]
        if there:
            yield (
                f"Label {name}: in {len(there)} of {len(volumes)} cases, {min(there):.3g} to"
                f" {max(there):.3g} mL, median {float(np.median(there)):.3g} mL"
            )
        else:
            yield f"Label {name}: in none of {len(volumes)} cases"
    for name in survey.task.channels:
        each = [case.intensities[name] for case in usable]
        low = min(one.lowest for one in each)
        high = max(one.highest for one in each)
        medians = [one.percentiles[1] for one in each]
        yield (
            f"Channel {name}: values {low:.4g} to {high:.4g}, medians of the cases"
            f" {min(medians):.4g} to {max(medians):.4g}"
        )


def _range(values: np.ndarray, unit: str) -> str:
    least, middle, most = values.min(axis=0), np.median(values, axis=0), values.max(axis=0)
    shown = ["x".join(f"{number:.4g}" for number in row) for row in (least, middle, most)]
    return f"{shown[0]} to {shown[2]} {unit}, median {shown[1]}"
