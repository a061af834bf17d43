"""What is wrong with a data set, as far as one can tell: case, cause and fix of each."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np

from medseg.errors import MedsegError
from medseg.survey.measure import Measured
from medseg.task import Task

_ODD_SPACING: Final = 3.0  # times the median
_ODD_RANGE: Final = 20.0  # times the median


class Severity(StrEnum):
    """How bad it is.

    Attributes:
        ERROR: Training cannot use the case, and stops.
        SUSPECT: Training would run, and probably learn something wrong.
        NOTE: Good to know.
    """

    ERROR = "error"
    SUSPECT = "suspect"
    NOTE = "note"


@dataclass(frozen=True)
class Finding:
    """Something that is wrong.

    Attributes:
        severity: How bad it is.
        case: The case, or several; `all` for the whole set.
        cause: What is wrong.
        fix: What to do about it, as an instruction.
        error: What training raises for it, where it stops.
    """

    severity: Severity
    case: str
    cause: str
    fix: str
    error: MedsegError | None = None

    def __str__(self) -> str:
        return f"{self.severity} {self.case}: {self.cause}. {self.fix}."


ALL: Final = "all"


def problems(cases: Sequence[Measured]) -> list[Finding]:
    """Return what made cases unusable."""
    return [
        Finding(Severity.ERROR, case.case, _cause(error), problem.remedy, error)
        for case in cases
        for problem in case.problems
        for error in [problem.error()]
    ]


def _cause(error: MedsegError) -> str:
    return error.what if error.where is None else f"{error.where} {error.what}"


def empty(cases: Sequence[Measured], task: Task) -> list[Finding]:
    """Find label maps without a label, and labels that no case has."""
    usable = [case for case in cases if not case.problems]
    found = [
        Finding(
            Severity.SUSPECT,
            case.case,
            "its label map is empty",
            "Check that it is the right file; leave the case out if it was never annotated",
        )
        for case in usable
        if not any(case.volumes_ml.values())
    ]
    absent = [name for name in task.labels if not any(case.volumes_ml.get(name) for case in usable)]
    if usable and absent:
        found.append(
            Finding(
                Severity.SUSPECT,
                ALL,
                f"no case has the label {', '.join(absent)}",
                "Check the label values, or choose a task without it: it cannot be learned",
            )
        )
    return found


def duplicates(cases: Sequence[Measured], parts: Mapping[str, str]) -> list[Finding]:
    """Find images that are there twice.

    Args:
        cases: All cases.
        parts: What each case is used for, such as `training`.
    """
    same = defaultdict(list)
    for case in cases:
        if case.digest:
            same[case.digest].append(case.case)
    found = []
    for names in map(sorted, same.values()):
        if len(names) > 1:
            told = {parts.get(name) for name in names}
            where = " and lie on both sides of the split" if len(told) > 1 else ""
            found.append(
                Finding(
                    Severity.SUSPECT,
                    ", ".join(names),
                    f"have the same image{where}",
                    "Keep one of them: a case that is trained on must not be scored",
                )
            )
    return found


def spacings(cases: Sequence[Measured]) -> list[Finding]:
    """Find voxel sizes that are far from those of the others, and several orientations."""
    known = [(case.case, case.spacing_mm) for case in cases if case.spacing_mm is not None]
    if len(known) < 2:
        return []
    median = np.median([spacing for _, spacing in known], axis=0)
    found = [
        Finding(
            Severity.SUSPECT,
            name,
            f"its voxels are {_millimetres(spacing)}, those of the others about"
            f" {_millimetres(median.tolist())}",
            "Compare with the scanner's or the archive's header; convert the scan anew",
        )
        for name, spacing in known
        if (np.maximum(spacing / median, median / np.array(spacing)) > _ODD_SPACING).any()
    ]
    orientations = sorted({case.orientation for case in cases if case.orientation})
    if len(orientations) > 1:
        found.append(
            Finding(
                Severity.NOTE,
                ALL,
                f"the files' axes point in several directions: {', '.join(orientations)}",
                "Nothing needs to be done: medseg turns every scan to RAS by its header",
            )
        )
    return found


def _millimetres(spacing: Sequence[float]) -> str:
    return "x".join(f"{length:.3g}" for length in spacing) + " mm"


def ranges(cases: Sequence[Measured], task: Task) -> list[Finding]:
    """Find CT whose values lie on another scale than those of the other cases."""
    found = []
    for channel in (name for name, modality in task.channels.items() if modality == "ct"):
        widths = {
            case.case: each.percentiles[2] - each.percentiles[0]
            for case in cases
            if (each := case.intensities.get(channel)) is not None
        }
        median = float(np.median(list(widths.values()))) if widths else 0.0
        found += [
            Finding(
                Severity.SUSPECT,
                name,
                f"its {channel} values span {width:.4g}, those of the others about {median:.4g}",
                "Give all scans in Hounsfield units, or all scaled alike",
            )
            for name, width in widths.items()
            if max(width, median) > _ODD_RANGE * max(min(width, median), 1e-9)
        ]
    return found
