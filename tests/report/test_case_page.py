import json
import re

import pytest

from medseg.evaluation.clinical_numbers import ClinicalNumbers, Measured
from medseg.evaluation.pair import Status
from medseg.report import case_page, cases, results
from tests.fake_results import NASTY


@pytest.fixture
def written(cohort, tmp_path):
    """The text of a page of the right case with clinical numbers of several subjects."""
    found = results.of_folder(cohort / "predictions")
    result = next(each for each in found.found if each.case == "right")
    rows = [Measured(s, f"of {s}", "mL", 1.0, 2.0) for s in ("right", "rig", "right_a", "other")]
    path = tmp_path / "a.html"
    numbers = ClinicalNumbers(tuple(rows), ("cardiac_function",))
    others = ("right_a", "other")
    case_page.write(path, cases.read(result), found.origin, (), numbers, viewer=None, others=others)
    return path.read_text(encoding="utf-8")


def test_the_numbers_of_the_case_alone_are_shown(written):
    assert "of right<" in written
    assert "of right_a" not in written
    assert "of rig<" not in written
    assert "of other" not in written
    assert "cardiac_function" in written


def test_a_patients_numbers_are_shown_with_each_of_the_cases():
    others = ("patient001_frame01",)
    assert case_page._is_of("patient001", "patient001_frame12", others)
    assert not case_page._is_of("patient001", "patient0011_frame12", others)


def test_everything_has_words():
    assert set(case_page.HELD_BY) == set(Status)
    assert set(case_page.MEANINGS) == {"pass", "check", "fail"}


def test_the_viewer_gets_channels_and_label_maps_in_their_order(pages):
    content = (pages / f"{NASTY}.html").read_text(encoding="utf-8")
    text = re.search(r'id="viewer-data">(.*?)</script>', content, flags=re.DOTALL)[1]
    data = json.loads(text)
    assert list(data["label_maps"]) == ["result", "reference"]
    assert list(data["channels"]) == ["first", "second"]
    assert {surface["number"] for surface in data["surfaces"]} == {1, 2, 3}
    assert "<" not in text
