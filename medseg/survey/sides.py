"""Left and right exchanged: labels that lie on the wrong side of each other.

`left_X` lies left of `right_X`, and the liver right of the spleen and of the stomach. Ventricles of
the heart are named after their side, but do not lie there, and are passed over.
"""

from collections.abc import Iterator, Sequence
from typing import Final

from medseg.survey.findings import ALL, Finding, Severity
from medseg.survey.measure import Measured
from medseg.task import Task

_RIGHT_OF: Final = (("liver", "spleen"), ("liver", "stomach"))
_APART_MM: Final = 5.0
_FIX: Final = (
    "Compare the header's affine with the archive's: a scan was mirrored, or the labels of the two"
    " sides are exchanged"
)


def swapped(cases: Sequence[Measured], task: Task, *, has_geometry: bool = True) -> list[Finding]:
    """Find cases whose left and right are exchanged.

    Args:
        cases: All cases.
        task: Names the labels.
        has_geometry: Whether the files say where left is; if not, only cases that differ from
            most others are told.
    """
    found = []
    for right, left in _pairs(task):
        wrong = [case.case for case in cases if _is_wrong(case, right, left)]
        known = [case for case in cases if {right, left} <= case.centres_mm.keys()]
        if wrong and len(wrong) == len(known):
            if has_geometry:
                cause = f"{right} lies left of {left} in every case"
                found.append(Finding(Severity.SUSPECT, ALL, cause, _FIX))
        elif not has_geometry and 2 * len(wrong) > len(known):
            right_ones = [case.case for case in known if case.case not in wrong]
            found += [_finding(name, right, left, mirrored=True) for name in right_ones]
        else:
            found += [_finding(name, right, left, mirrored=False) for name in wrong]
    return list({finding.case: finding for finding in reversed(found)}.values())[::-1]


def _pairs(task: Task) -> Iterator[tuple[str, str]]:
    for name in task.labels:
        other = name.replace("right", "left", 1)
        if "right" in name.split("_") and other in task.labels and "ventricle" not in name:
            yield name, other
    for right, left in _RIGHT_OF:
        if right in task.labels and left in task.labels:
            yield right, left


def _is_wrong(case: Measured, right: str, left: str) -> bool:
    if not {right, left} <= case.centres_mm.keys():
        return False
    return case.centres_mm[right][0] < case.centres_mm[left][0] - _APART_MM


def _finding(name: str, right: str, left: str, *, mirrored: bool) -> Finding:
    where = "right" if mirrored else "left"
    cause = f"{right} lies {where} of {left}, unlike in the other cases or in the body"
    return Finding(Severity.SUSPECT, name, cause, _FIX)
