"""Every case of a data set looked at, and what was found; training asks for it before it begins."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from medseg.data import layouts
from medseg.data.cases import Case
from medseg.data.data_set import DataSet
from medseg.data.folds import Split
from medseg.data.matching import Matched
from medseg.errors import DataError, MedsegError, listed
from medseg.survey import cache, findings, modalities, sides
from medseg.survey.findings import ALL, Finding, Severity
from medseg.survey.measure import Measured
from medseg.task import Task

_FIX: Final = "See medseg check for each case"


@dataclass(frozen=True, eq=False)
class Survey:
    """What was seen.

    Attributes:
        data_set: What was recognised.
        task: In the data's values.
        parts: What each case is used for, by name: `training`, `validation`, `held out`.
        split: What the split is called.
        cases: What was measured of each.
        findings: What is wrong, the worst first.
        confirmed: What the label values prove of the data set; None if nothing.
        notes: What a user should know.
    """

    data_set: DataSet
    task: Task
    parts: dict[str, str]
    split: str
    cases: tuple[Measured, ...]
    findings: tuple[Finding, ...]
    confirmed: str | None
    notes: tuple[str, ...]

    @property
    def sound(self) -> bool:
        """Whether training would go well, as far as one can tell."""
        return all(finding.severity is Severity.NOTE for finding in self.findings)

    def of(self, cases: Iterable[Case]) -> list[Measured]:
        """Return what was measured of `cases`."""
        by_name = {measured.case: measured for measured in self.cases}
        return [by_name[case.name] for case in cases]


def look(matched: Matched, parts: Split, *, on_case: Callable[[str], None]) -> Survey:
    """Look at every case of a split; what is known of one already is not read again.

    Args:
        matched: A data set and its task.
        parts: What its cases are used for.
        on_case: Called with the name of each case when it is done.
    """
    data_set, task = matched.data_set, matched.task
    measured = []
    for case in parts.cases:
        measured.append(cache.measured(case, task))
        on_case(case.name)
    used = _parts(parts)
    confirmed, contradiction = _confirmed(data_set, measured)
    found = [
        *contradiction,
        *findings.problems(measured),
        *findings.empty(measured, task),
        *findings.duplicates(measured, used),
        *modalities.exchanged(measured, task),
        *sides.swapped(measured, task, has_geometry=data_set.has_geometry),
        *findings.spacings(measured),
        *findings.ranges(measured, task),
        *_divided_patients(parts),
        *_unused(data_set, parts),
    ]
    order = list(Severity)
    return Survey(
        data_set=data_set,
        task=task,
        parts=used,
        split=parts.name,
        cases=tuple(measured),
        findings=tuple(sorted(found, key=lambda finding: order.index(finding.severity))),
        confirmed=confirmed,
        notes=(*data_set.notes, *matched.notes),
    )


def require_usable(survey: Survey) -> None:
    """Refuse data that training cannot use.

    Raises:
        MedsegError: The error of a single case as it is; a DataError that lists several.
    """
    wrong = [
        (finding.case, finding.error) for finding in survey.findings if finding.error is not None
    ]
    if not wrong:
        return
    (_, first), *others = wrong
    if not others or first.where == survey.data_set.root:  # a contradiction explains the others
        raise first
    reasons = listed([f"{case}: {_said(error)}" for case, error in wrong], separator="; ")
    raise DataError(
        f"{len(wrong)} cases cannot be used: {reasons}",
        where=survey.data_set.root,
        remedy=f"{first.remedy}. {_FIX}",
    ) from first


def _said(error: MedsegError) -> str:
    return str(error).removesuffix(f". {error.remedy}.")


def _parts(parts: Split) -> dict[str, str]:
    named = {"training": parts.training, "validation": parts.watched, "held out": parts.held_out}
    return {case.name: part for part, cases in named.items() for case in cases}


def _confirmed(data_set: DataSet, cases: list[Measured]) -> tuple[str | None, list[Finding]]:
    voxels: dict[int, int] = {}
    for case in cases:
        for value, count in case.file_values.items():
            voxels[value] = voxels.get(value, 0) + count
    try:
        return layouts.confirm(data_set, voxels), []
    except DataError as error:
        return None, [Finding(Severity.ERROR, ALL, error.what, error.remedy, error)]


def _divided_patients(parts: Split) -> list[Finding]:
    """Find patients that a split by case has put into two parts."""
    used: dict[str, set[str]] = {}
    for part, cases in (("", (*parts.training, *parts.watched)), ("held out", parts.held_out)):
        for case in cases:
            used.setdefault(case.subject, set()).add(part)
    divided = sorted(patient for patient, sides in used.items() if len(sides) > 1)
    if not divided:
        return []
    return [
        Finding(
            Severity.SUSPECT,
            listed(divided),
            f"lie on both sides of the split {parts.name}",
            "Choose --split folds, which keeps a patient together: scores of known patients are"
            " too good",
        )
    ]


def _unused(data_set: DataSet, parts: Split) -> list[Finding]:
    unlabelled = [case.name for case in data_set.cases if case.label is None]
    used = {case.name for case in parts.cases}
    beside = [case.name for case in data_set.labelled if case.name not in used]
    told = [
        (unlabelled, "have no label map", "Nothing needs to be done if they are to be predicted"),
        (
            beside,
            f"are in no part of the split {parts.name}",
            "Choose another with --split if they should be used",
        ),
    ]
    return [
        Finding(Severity.NOTE, listed(names), cause, fix) for names, cause, fix in told if names
    ]
