"""What is wrong with a data set."""

import pytest

from medseg.errors import ImageError
from medseg.survey import findings
from medseg.survey.findings import Severity
from medseg.survey.measure import Problem


def test_a_problem_becomes_an_error_with_case_cause_and_fix(made):
    problem = Problem(ImageError, "is cut off", "Copy it anew", "a.nii.gz")
    (found,) = findings.problems([made("a", problems=(problem,)), made("b")])
    assert str(found) == "error a: a.nii.gz is cut off. Copy it anew."
    assert isinstance(found.error, ImageError)


def test_an_empty_label_map_and_a_label_that_no_case_has_are_found(made, hippocampus_task):
    cases = [
        made("a", volumes_ml={"anterior": 1.0, "posterior": 0.0}),
        made("b", volumes_ml={"anterior": 0.0, "posterior": 0.0}),
    ]
    empty, absent = findings.empty(cases, hippocampus_task)
    assert (empty.case, empty.cause) == ("b", "its label map is empty")
    assert (absent.case, absent.cause) == ("all", "no case has the label posterior")


def test_equal_images_are_found_and_where_they_lie(made):
    cases = [made("b", digest="same"), made("a", digest="same"), made("c")]
    (found,) = findings.duplicates(cases, {"a": "training", "b": "training"})
    assert found.case == "a, b"
    assert found.cause == "have the same image"
    (found,) = findings.duplicates(cases, {"a": "training", "b": "held out"})
    assert found.cause.endswith("lie on both sides of the split")


def test_a_case_that_could_not_be_read_is_no_duplicate(made):
    assert findings.duplicates([made("a", digest=""), made("b", digest="")], {}) == []


@pytest.mark.parametrize(("length", "expected"), [(2.9, 0), (3.1, 1), (0.3, 1), (0.4, 0)])
def test_a_spacing_three_times_off_is_found(made, length, expected):
    usual = [made(str(n)) for n in range(4)]
    found = findings.spacings([*usual, made("odd", spacing_mm=(1.0, length, 1.0))])
    assert len(found) == expected


def test_several_orientations_are_a_note(made):
    (found,) = findings.spacings([made("a"), made("b", orientation="LPS")])
    assert found.severity is Severity.NOTE
    assert "LPS, RAS" in found.cause


def test_ct_on_another_scale_is_found_and_mr_is_not(made, intensities, hippocampus_task):
    wide, narrow = intensities(percentiles=(-1000, 0, 400)), intensities(percentiles=(0, 0.5, 1))
    cases = [made(str(n), intensities={"ct": wide}) for n in range(4)]
    cases.append(made("scaled", intensities={"ct": narrow}))
    ct = hippocampus_task.model_copy(update={"channels": {"ct": "ct"}})
    (found,) = findings.ranges(cases, ct)
    assert found.case == "scaled"
    mr = hippocampus_task.model_copy(update={"channels": {"ct": "mr"}})
    assert findings.ranges(cases, mr) == []
