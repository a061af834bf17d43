"""The page of one case: quality, viewer, slices, surface, numbers, comparison, provenance."""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, Final

from medseg.evaluation.clinical_numbers import ClinicalNumbers
from medseg.evaluation.pair import Status
from medseg.evaluation.score import Score
from medseg.report import pages, slices, surfaces
from medseg.report.cases import Case
from medseg.report.embedding import Embedded, embed
from medseg.report.niivue import NiiVue
from medseg.report.results import Origin
from medseg.report.surfaces import Surface
from medseg.task import Task
from medseg.version import __version__

MEANINGS: Final = {
    "pass": "Nothing was found that speaks against the result, which is no proof that it is right.",
    "check": "A person should look at this result.",
    "fail": "The result cannot be right as it stands.",
}
HELD_BY: Final = {
    Status.BOTH: "both",
    Status.ABSENT: "neither",
    Status.MISSED: "the reference alone",
    Status.FALSE_ALARM: "the result alone",
}


def write(
    path: Path,
    case: Case,
    origin: Origin,
    scores: Sequence[Score],
    numbers: ClinicalNumbers,
    *,
    viewer: NiiVue | None,
    others: Collection[str] = (),
    cohort_page: str | None = None,
) -> None:
    """Write the page of a case.

    Args:
        path: Where to.
        case: What is shown.
        origin: The model it comes from.
        scores: Of its regions, if there is a reference.
        numbers: The clinical numbers of its cohort; those of the case are shown.
        viewer: The interactive viewer; the page says so if there is none.
        others: Names of the other cases of the cohort.
        cohort_page: Address of the page over all cases, beside this one.

    Raises:
        OutputError: The disk is full, or the place is not writable.
    """
    task = case.segmentation.task
    embedded = embed(case.scan, _label_maps(case), task)
    upright = slices.stand(
        case.scan, case.segmentation, case.reference, next(iter(embedded.windows.values()))
    )
    found = surfaces.surfaces(case.segmentation)
    pages.write(
        path,
        "case",
        scripts=("viewer",) if viewer else (),
        version=__version__,
        task=task,
        titles={name: task.title_of(name) for name in (*task.labels, *task.regions)},
        is_ct="ct" in task.channels.values(),
        case=case,
        meaning=MEANINGS[case.quality["verdict"]],
        origin=origin,
        cohort_page=cohort_page,
        has_reference=case.reference is not None,
        planes=slices.three_planes(upright),
        worst=slices.worst(upright),
        surface_picture=surfaces.picture(found) if found else None,
        numbers=[row for row in numbers.rows if _is_of(row.subject, case.name, others)],
        left_out=numbers.left_out,
        scores=scores,
        score_columns=list(scores[0].values) if scores else [],
        held_by=HELD_BY,
        changes=embedded.changes,
        viewer=viewer,
        module=pages.packed(viewer) if viewer else None,
        data=_data(embedded, found, task),
    )


def _is_of(subject: str, case: str, others: Collection[str]) -> bool:
    """Tell whether a subject is the case, or the patient whose case it is, and no other case."""
    return case == subject or (case.startswith(f"{subject}_") and subject not in others)


def _label_maps(case: Case) -> dict[str, Any]:
    shown = {"result": case.segmentation.label_map}
    return shown if case.reference is None else {**shown, "reference": case.reference.label_map}


def _data(embedded: Embedded, found: list[Surface], task: Task) -> dict[str, Any]:
    """Return what the viewer's script reads; its names are the script's."""
    return {
        "channels": embedded.channels,
        "windows": embedded.windows,
        "label_maps": embedded.label_maps,
        "shape": embedded.shape,
        "start": embedded.start,
        "labels": [
            {"title": task.title_of(name), "colour": label.colour}
            for name, label in task.labels.items()
        ],
        "surfaces": [
            {"number": each.number, "opacity": each.opacity, "mz3": surfaces.encoded(each.mesh)}
            for each in found
        ],
    }
