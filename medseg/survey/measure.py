"""One case, read once: its grid, its intensities, its labels, a thumbnail, and what is wrong.

What is measured serves the plan of a training run and the findings of a check alike.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from jaxtyping import Float32, UInt8

from medseg.data.cases import Case, read_file_values, read_image, translated
from medseg.data.description import (
    LabelDescription,
    ScanDescription,
    describe_labels,
    describe_scan,
)
from medseg.errors import DataError, MedsegError
from medseg.shapes import LabelMap, Mask, Shape, Spacing
from medseg.task import Task
from medseg.volume import Grid, Volume, order_to_ras, reorder, to_ras

VALUES_PER_CASE: Final = 10_000
PERCENTILES: Final = (0.5, 50.0, 99.5)
_THUMBNAIL: Final = 128  # pixels along the longer side
_STATISTICS_OF: Final = 200_000  # voxels, evenly taken


@dataclass(frozen=True)
class Problem:
    """Why a case cannot be used."""

    kind: type[MedsegError]
    what: str
    remedy: str
    where: str | None

    def error(self) -> MedsegError:
        """Return it as the error it was."""
        return self.kind(self.what, remedy=self.remedy, where=self.where)


@dataclass(frozen=True)
class Intensities:
    """A channel of a case, over the voxels that are not 0 (all of them in CT).

    Attributes:
        lowest: Over all voxels.
        highest: Over all voxels.
        percentiles: The 0.5th, 50th and 99.5th.
        skewness: Of the values between those percentiles.
        contrast: How far the mean of what is labelled is above that of the rest, in standard
            deviations; 0 if nothing is labelled.
    """

    lowest: float
    highest: float
    percentiles: tuple[float, float, float]
    skewness: float
    contrast: float


@dataclass(frozen=True, eq=False)
class Thumbnail:
    """The slice with the most labelled voxels: x to the right, y up."""

    image: UInt8[np.ndarray, "x y"]
    labels: UInt8[np.ndarray, "x y"]
    aspect: float


@dataclass(frozen=True, eq=False)
class Measured:
    """What one case is like.

    Attributes:
        case: Its name.
        problems: Why it cannot be used; none if it can.
        shape: Voxels along the RAS axes.
        inside: The same of the part that is not background for certain; None if the task does not
            say what is.
        spacing_mm: Voxel size along the RAS axes.
        orientation: Where the file's axes point, such as `LPS`.
        digest: Of the image's voxels: equal images have equal ones.
        file_values: How many voxels of the label map have each value that occurs, as in the file.
        scan: What a bundle keeps of the scan, as prediction measures it again.
        labels: What a bundle keeps of each label of the task.
        centres_mm: World coordinates of the middle of each label that occurs.
        intensities: By channel.
        samples: For each CT channel, at most 10,000 labelled voxels.
        thumbnail: A picture of it.
    """

    case: str
    problems: tuple[Problem, ...] = ()
    shape: Shape | None = None
    inside: Shape | None = None
    spacing_mm: Spacing | None = None
    orientation: str = ""
    digest: str = ""
    file_values: Mapping[int, int] = field(default_factory=dict)
    scan: ScanDescription | None = None
    labels: Mapping[str, LabelDescription] = field(default_factory=dict)
    centres_mm: Mapping[str, tuple[float, float, float]] = field(default_factory=dict)
    intensities: Mapping[str, Intensities] = field(default_factory=dict)
    samples: Mapping[str, Float32[np.ndarray, " voxels"]] = field(default_factory=dict)
    thumbnail: Thumbnail | None = None

    @property
    def volumes_ml(self) -> dict[str, float]:
        """The volume of each label of the task."""
        return {name: label.volume_ml for name, label in self.labels.items()}


def measure(case: Case, task: Task) -> Measured:
    """Read a case and measure it; what is wrong with it is noted, not raised."""
    problems = []
    counts: dict[int, int] = {}
    label_map: LabelMap | None = None
    volume: Volume | None = None
    try:
        volume = read_image(case, task)
    except MedsegError as error:
        problems.append(_noted(error))
    try:
        labels = read_file_values(case)
        values, numbers = np.unique(labels.voxels, return_counts=True)
        counts = _counted(values, numbers)
        label_map = translated(labels, case, task, labels.grid if volume is None else volume.grid)
    except MedsegError as error:
        problems.append(_noted(error))
    if volume is None:
        return Measured(case.name, tuple(problems), file_values=counts)
    if label_map is None:
        label_map = np.zeros(volume.grid.shape, np.uint8)
    return _measured(case, task, volume, label_map, counts, tuple(problems))


def _noted(error: MedsegError) -> Problem:
    where = None if error.where is None else str(error.where)
    return Problem(type(error), error.what, error.remedy, where)


def _counted(values: np.ndarray, numbers: np.ndarray) -> dict[int, int]:
    """Return the counts of values; those that are no integers, or NaN, are left to `translated`."""
    return {
        int(value): int(count)
        for value, count in zip(values.tolist(), numbers.tolist(), strict=True)
        if float(value).is_integer()
    }


def _measured(
    case: Case,
    task: Task,
    volume: Volume,
    label_map: LabelMap,
    counts: dict[int, int],
    problems: tuple[Problem, ...],
) -> Measured:
    upright = to_ras(volume)
    inside = label_map > 0
    ct = [name for name, modality in task.channels.items() if modality == "ct"]
    channels = dict(zip(task.channels, volume.voxels, strict=True))
    return Measured(
        case=case.name,
        problems=problems,
        shape=upright.grid.shape,
        inside=extent_inside(upright, task),
        spacing_mm=upright.spacing_mm,
        orientation=_orientation(volume.grid),
        digest=hashlib.sha256(np.ascontiguousarray(volume.voxels).tobytes()).hexdigest()[:16],
        file_values=counts,
        scan=describe_scan(volume, task),
        labels=describe_labels(volume, label_map, task),
        centres_mm=_centres(label_map, volume.grid, task),
        intensities={
            name: intensities(voxels, inside, is_ct=name in ct) for name, voxels in channels.items()
        },
        samples={name: _thinned(channels[name][inside]) for name in ct},
        thumbnail=thumbnail(volume, label_map),
    )


def extent_inside(volume: Volume, task: Task) -> Shape | None:
    """Return the voxels along each axis of the part that is not background for certain.

    None if the task does not say what is, or if nothing is left.
    """
    if task.outside is None:
        return None
    from medseg.inference.foreground import inside_of

    inside = inside_of(volume.voxels, task)
    if inside is None or not inside.any():
        return None
    along = (np.flatnonzero(inside.any(axis=tuple({0, 1, 2} - {axis}))) for axis in range(3))
    i, j, k = (int(places[-1] - places[0]) + 1 for places in along)
    return (i, j, k)


def _orientation(grid: Grid) -> str:
    """Return where the axes i, j, k point: Left or Right, Anterior or Posterior, ..."""
    letters = [""] * 3
    for world, (axis, is_reversed) in enumerate(order_to_ras(grid.affine)):
        letters[axis] = ("RL", "AP", "SI")[world][is_reversed]
    return "".join(letters)


def _centres(label_map: LabelMap, grid: Grid, task: Task) -> dict[str, tuple[float, float, float]]:
    centres = {}
    for name, label in task.labels.items():
        voxels = np.argwhere(label_map == label.value)
        if len(voxels):
            x, y, z = (grid.affine @ [*voxels.mean(axis=0), 1.0])[:3].tolist()
            centres[name] = (x, y, z)
    return centres


def intensities(channel: np.ndarray, inside: Mask, *, is_ct: bool) -> Intensities:
    """Measure a channel.

    Args:
        channel: Finite values, not all alike.
        inside: What is labelled.
        is_ct: Whether 0 is a value like others, and not what lies around a skull-stripped brain.
    """
    counted = np.ones(channel.shape, dtype=bool) if is_ct else channel != 0
    step = max(1, int(counted.sum()) // _STATISTICS_OF)
    values = channel[counted][::step].astype(np.float64)
    low, middle, high = np.percentile(values, PERCENTILES).tolist()
    within = np.clip(values, low, high)
    deviation = float(within.std()) or 1.0
    labelled = np.clip(channel[inside & counted].astype(np.float64), low, high)
    return Intensities(
        lowest=float(channel.min()),
        highest=float(channel.max()),
        percentiles=(low, middle, high),
        skewness=float((((within - within.mean()) / deviation) ** 3).mean()),
        contrast=float(labelled.mean() - within.mean()) / deviation if labelled.size else 0.0,
    )


def _thinned(values: np.ndarray) -> Float32[np.ndarray, " voxels"]:
    step = max(1, len(values) // VALUES_PER_CASE)
    return values[::step].astype(np.float32)


def thumbnail(volume: Volume, label_map: LabelMap) -> Thumbnail:
    """Return the slice with the most labelled voxels of the first channel, small."""
    order = order_to_ras(volume.affine)
    image = reorder(volume.voxels[:1], order)[0]
    labels = reorder(label_map[None], order)[0]
    upright = to_ras(volume)
    place = int((labels > 0).sum(axis=(0, 1)).argmax()) if labels.any() else labels.shape[2] // 2
    plane = image[:, :, place].astype(np.float32)
    step = -(-max(plane.shape) // _THUMBNAIL)
    low, high = np.percentile(plane, (1, 99))
    scaled = np.clip((plane - low) / (high - low or 1.0), 0, 1) * 255
    return Thumbnail(
        image=scaled[::step, ::step].astype(np.uint8),
        labels=np.minimum(labels[::step, ::step, place], 255).astype(np.uint8),
        aspect=upright.spacing_mm[1] / upright.spacing_mm[0],
    )


def require_labelled(measured: Sequence[Measured], task: Task) -> None:
    """Refuse cases none of which has a labelled voxel.

    Raises:
        DataError: It is so.
    """
    if not any(volume for case in measured for volume in case.volumes_ml.values()):
        raise DataError(
            "no training case has a labelled voxel",
            where=task.name,
            remedy="Check that the label maps are the right files",
        )
