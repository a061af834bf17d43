"""One case as it is reported: read from its files, judged, and scored if a reference is known."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from medseg import formats
from medseg.data.cases import Case as CaseFiles
from medseg.data.cases import read_image
from medseg.data.description import describe_labels
from medseg.errors import DataError
from medseg.evaluation.evaluate import References, case_of
from medseg.evaluation.one_grid import require_perpendicular, require_same_place
from medseg.evaluation.score import Score, score_case
from medseg.experience import Experience
from medseg.inference.quality import assess
from medseg.report.results import Result
from medseg.segmentation import Segmentation
from medseg.volume import Grid, Volume


@dataclass(frozen=True, eq=False)
class Case:
    """A case with all that is shown of it.

    Attributes:
        name: What it is called.
        scan: Its channels.
        segmentation: What was found, on the scan's grid.
        reference: What is there, on the same grid, in the same values.
        quality: Verdict, reasons and labels, as `medseg.inference.quality.Quality` has them.
        judged_alone: Whether nothing was known of a model's training cases when it was judged.
        files: Names of the scan's files and of the label map's.
        seconds: How long the segmentation took, if it is known.
        peak_memory_mb: What it took meanwhile, by kind of memory.
    """

    name: str
    scan: Volume
    segmentation: Segmentation
    reference: Segmentation | None
    quality: dict[str, Any]
    judged_alone: bool
    files: tuple[str, ...]
    seconds: float | None = None
    peak_memory_mb: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Summary:
    """What is kept of a case while the others are read.

    Attributes:
        name: What it is called.
        volumes_ml: Of every region that was found.
        scores: Of every region; none without a reference.
        quality: As in `Case`.
    """

    name: str
    volumes_ml: dict[str, float]
    scores: tuple[Score, ...]
    quality: dict[str, Any]


def summary(case: Case) -> Summary:
    """Measure a case, and score it if there is a reference."""
    found, task = case.segmentation, case.segmentation.task
    counts = np.bincount(found.label_map.ravel())
    values = {name: label.value for name, label in task.labels.items()}
    voxels = {name: counts[at] if at < len(counts) else 0 for name, at in values.items()}
    volumes_ml = {
        region: float(sum(voxels[label] for label in task.labels_of(region))) * found.grid.voxel_ml
        for region in task.region_names
    }
    scores = () if case.reference is None else score_case(case.name, case.reference, found)
    return Summary(case.name, volumes_ml, tuple(scores), case.quality)


def read(
    result: Result, known: References | None = None, experience: Experience | None = None
) -> Case:
    """Read a case.

    Args:
        result: Names its files.
        known: References; the case's own, if there is one, is read.
        experience: What the model's training cases were like, to judge what was not judged before.

    Raises:
        ImageError: A file is damaged.
        DataError: The label map's voxels are not those of its scan, or of the reference.
    """
    task = result.task
    files = CaseFiles(result.case, result.images, order=result.channel_order)
    scan = read_image(files, task, result.choice)
    found = formats.read_segmentation(result.label_map, task)
    segmentation = _placed(found, scan.grid, result.label_map)
    reference = None if known is None else _reference(result, segmentation, known)
    entry = result.entry
    quality = entry.quality if entry else None
    if quality is None:
        labels = describe_labels(scan, segmentation.label_map, task)
        quality = asdict(assess(labels, {}, experience, task, warnings=[]))
    return Case(
        name=result.case,
        scan=scan,
        segmentation=segmentation,
        reference=reference,
        quality=quality,
        judged_alone=(entry is None or entry.quality is None) and experience is None,
        files=(*(image.name for image in result.images), result.label_map.name),
        seconds=entry.seconds if entry else None,
        peak_memory_mb=entry.peak_memory_mb if entry else {},
    )


def _placed(found: Segmentation, grid: Grid, path: Path) -> Segmentation:
    """Return what was found on its scan's grid.

    A DICOM segmentation has the scan's voxels in an order of its own, without its empty slices.
    """
    if grid.matches(found.grid):
        return found
    if found.grid.shares_voxels_with(grid):
        placed = found.on(grid)
        if np.count_nonzero(placed.label_map) == np.count_nonzero(found.label_map):
            return placed
    raise DataError(
        "lies on another grid than its scan",
        where=path,
        remedy="Name the scan it was made of with --scan",
    )


def _reference(
    result: Result, segmentation: Segmentation, known: References
) -> Segmentation | None:
    names = (result.case, case_of(result.label_map))
    name = next((name for name in names if name in known.paths), None)
    if name is None:
        return None
    path = known.paths[name]
    task = known.task if known.is_data_set else result.task
    there = formats.read_segmentation(path, task, known.values.get(name))
    require_perpendicular(there.grid, path)
    require_same_place(segmentation.grid, there.grid, prediction=result.label_map, reference=path)
    return Segmentation(there.with_values_of(result.task).label_map, segmentation.grid, result.task)
