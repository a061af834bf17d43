"""Reports as files: one page for a label map, or a folder with a page over all and one for each."""

import math
from collections.abc import Callable, Sequence
from itertools import chain, count
from pathlib import Path
from typing import Final
from urllib.parse import quote

from medseg.errors import DataError, listed
from medseg.evaluation import clinical_numbers
from medseg.evaluation.clinical_numbers import ClinicalNumbers
from medseg.evaluation.evaluate import References
from medseg.evaluation.score import Score, Scores
from medseg.experience import Experience
from medseg.report import case_page, cases, cohort_page, niivue
from medseg.report.cases import Summary
from medseg.report.cohort_page import RANKS, Row
from medseg.report.pages import heading
from medseg.report.results import Results
from medseg.task import Task

INDEX: Final = "index.html"
"""The page over all cases."""

_SHOWN: Final = ("dice", "hd95_mm")
"""The scores that the page over all cases shows."""


def one(
    path: Path,
    results: Results,
    *,
    known: References | None = None,
    data: Path | None = None,
    experience: Experience | None = None,
) -> None:
    """Write the page of a single case.

    Args:
        path: The HTML file.
        results: Holds one case.
        known: References, if there are any.
        data: The folder of the data set's own files, which some clinical numbers need.
        experience: What the model's training cases were like.

    Raises:
        ImageError: A file is damaged.
        DataError: The label map does not lie on its scan's grid or the reference's, or the
            reference is missing.
        OutputError: The page cannot be written.
    """
    case = cases.read(results.found[0], known, experience)
    measured = cases.summary(case)
    numbers = _numbers([measured], results.task, data, known)
    viewer = niivue.installed()
    case_page.write(path, case, results.origin, measured.scores, numbers, viewer=viewer)


def cohort(
    folder: Path,
    results: Results,
    *,
    known: References | None = None,
    data: Path | None = None,
    on_case: Callable[[str], None] | None = None,
) -> Path:
    """Write a folder of pages and return the page over all cases, those to look at first.

    Args:
        folder: Is made if it is not there.
        results: The cases.
        known: References of some cases or all, if there are any.
        data: The folder of the data set's own files, which some clinical numbers need.
        on_case: Called with the name of each case when its page is done.

    Raises:
        ImageError: A file is damaged.
        DataError: A label map does not lie on its scan's grid or its reference's, or no case has a
            reference.
        OutputError: A page cannot be written.
    """
    viewer = niivue.installed()
    measured = [cases.summary(cases.read(result, known)) for result in results.found]
    numbers = _numbers(measured, results.task, data, known)
    names = {result.case for result in results.found}
    rows = []
    for result, page, each in zip(results.found, _pages(results), measured, strict=True):
        case_page.write(
            folder / page,
            cases.read(result, known),
            results.origin,
            each.scores,
            numbers,
            viewer=viewer,
            others=names - {result.case},
            cohort_page=INDEX,
        )
        rows.append(_row(each, quote(page), results.task, scored=known is not None))
        if on_case is not None:
            on_case(result.case)
    cohort_page.write(
        folder / INDEX,
        sorted(rows, key=lambda row: (RANKS[row.verdict], row.name)),
        results.task,
        results.origin,
        numbers,
        failed=results.failed,
        has_reference=known is not None,
    )
    return folder / INDEX


def _numbers(
    measured: Sequence[Summary], task: Task, data: Path | None, known: References | None
) -> ClinicalNumbers:
    """Return the clinical numbers, beside those of the references where these are known."""
    scored = [each for each in measured if each.scores]
    if known is None:
        volumes_ml = {each.name: each.volumes_ml for each in measured}
        return clinical_numbers.measure_predictions(volumes_ml, task, data)
    if not scored:
        raise DataError(
            f"holds no reference of {listed([each.name for each in measured])}",
            where=known.place,
            remedy="Call each label map as its case, such as CASE.nii.gz",
        )
    both = clinical_numbers.measure(Scores(tuple(_rows(scored))), task, data)
    alone = {each.name: each.volumes_ml for each in measured if not each.scores}
    if not alone:
        return both
    rest = clinical_numbers.measure_predictions(alone, task, data)
    return ClinicalNumbers((*both.rows, *rest.rows), both.left_out)


def _rows(scored: Sequence[Summary]) -> list[Score]:
    return [row for each in scored for row in each.scores]


def _pages(results: Results) -> list[str]:
    """Return the file name of each case's page; no two are alike, and none is the index."""
    taken = {INDEX}
    pages = []
    for result in results.found:
        candidates = chain([result.case], (f"{result.case}_{number}" for number in count(2)))
        page = next(f"{name}.html" for name in candidates if f"{name}.html".casefold() not in taken)
        taken.add(page.casefold())
        pages.append(page)
    return pages


def _row(each: Summary, page: str, task: Task, *, scored: bool) -> Row:
    numbers: dict[str, float | None] = {
        f"{task.title_of(region)}, mL": volume for region, volume in each.volumes_ml.items()
    }
    if scored:
        for column in _SHOWN:
            values = [row.values[column] for row in each.scores]
            defined = [value for value in values if not math.isnan(value)]
            mean = math.fsum(defined) / len(defined) if defined else None
            numbers[f"Mean {heading(column)}"] = mean
    verdict, reasons = each.quality["verdict"], tuple(each.quality["reasons"])
    return Row(each.name, page, verdict, reasons, numbers)
