"""Tests of medseg.report.write: what stands in the pages, and what must not."""

import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from urllib.parse import unquote

import pytest

from medseg.errors import DataError
from medseg.evaluation import evaluate
from medseg.report import niivue, results, write
from tests.fake_results import NASTY, bodies


class Page(HTMLParser):
    """The text of a page, its tags and links."""

    def __init__(self, path):
        super().__init__()
        self.tags, self.links, self.words, self.silent = [], [], [], False
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.silent = tag in ("script", "style")
        self.links += [value for name, value in attrs if name in ("href", "src") and value]

    def handle_endtag(self, tag):  # noqa: ARG002
        self.silent = False

    def handle_data(self, data):
        if not self.silent:
            self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


CASES = ("right", NASTY, "empty")


@pytest.fixture(scope="session")
def index(pages):
    return Page(pages / "index.html")


def page_of(pages, case):
    return pages / f"{case}.html"


def test_the_page_over_all_links_to_a_page_for_each_case(pages, index):
    linked = {unquote(link) for link in index.links if link.endswith(".html")}
    assert linked == {f"{case}.html" for case in CASES}
    assert all((pages / name).is_file() for name in linked)
    for case in CASES:
        assert "index.html" in Page(page_of(pages, case)).links


def test_the_cases_to_look_at_come_first(index):
    assert index.text.index("empty") < index.text.index("right")
    assert "3 cases, check 1, pass 2; 1 could not be segmented" in index.text


def test_names_and_reasons_are_shown_as_they_are_and_never_become_tags(pages, index):
    for page in (index, *(Page(page_of(pages, case)) for case in CASES)):
        assert not {"i", "b"} & set(page.tags)
        assert page.tags.count("script") <= 3
        assert not [link for link in page.links if link == "x"]
    assert NASTY in index.text
    assert NASTY in Page(page_of(pages, NASTY)).text
    assert "nothing <i>at all</i>" in index.text
    assert "<b>lost</b>" in index.text


@pytest.mark.parametrize("name", ["index", *CASES], ids=["index", "right", "nasty", "empty"])
def test_no_folder_and_no_field_of_a_header_is_told(name, cohort, pages):
    content = page_of(pages, name).read_text(encoding="utf-8")
    content = re.sub(r"[A-Za-z0-9+/]{200,}", "", content)  # pictures and volumes
    assert "Doe" not in content
    assert "DOE" not in content
    assert str(cohort) not in content
    assert re.findall(r"(?:file|https?)://(?!www\.w3\.org)[^\s\"]+", content) == []


def test_a_page_says_what_it_is_for(pages, index):
    for page in (index, Page(page_of(pages, "right"))):
        assert "For research use only" in page.text
        for told in ("5eed" * 16, "toy", "patch: [8, 8, 8]", "Synthetic bodies"):
            assert told in page.text


def test_volumes_scores_and_quality_are_those_that_were_measured(pages):
    page = Page(page_of(pages, NASTY))
    inner_ml = (bodies(2) == 4).sum() * 1.0 * 1.5 * 2.5 / 1000
    assert re.search(rf"innermost volume mL {inner_ml:.3g}", page.text)
    both = ((bodies() == 4) & (bodies(2) == 4)).sum()
    dice = 2 * both / ((bodies() == 4).sum() + (bodies(2) == 4).sum())
    comparison = page.text[page.text.index("Comparison with the reference") :]
    assert f"{dice:.3f}" in comparison[comparison.index("Inner part") :]
    assert re.search(r"Rim [\d.]+ \d no 0\.25 no", page.text)


def test_the_slices_that_differ_most_are_shown_and_none_where_all_is_right(pages):
    worst = Page(page_of(pages, NASTY)).text
    areas = [float(area) for area in re.findall(r"([\d.]+) mm² differ", worst)][3:]
    assert len(areas) == 5  # of 11 slices; no neighbour of one that is shown
    assert areas == sorted(areas, reverse=True)
    assert "They are the same in every voxel" in Page(page_of(pages, "right")).text


def test_an_empty_result_has_its_page(pages):
    page = Page(page_of(pages, "empty"))
    assert "there is no surface" in page.text
    assert "the reference alone" in page.text


def test_without_references_nothing_is_compared(cohort, tmp_path):
    found = results.of_folder(cohort / "predictions")
    found = replace(found, found=found.found[:1])
    write.cohort(tmp_path, found)
    page = Page(tmp_path / f"{found.found[0].case}.html")
    assert "Comparison" not in page.text
    assert "Reference" not in page.text
    assert "Agreement" not in Page(tmp_path / "index.html").text


def test_without_niivue_a_page_is_made_and_says_so(cohort, tmp_path, monkeypatch):
    monkeypatch.setattr(niivue, "installed", lambda: None)
    found = results.of_folder(cohort / "predictions")
    write.one(tmp_path / "a.html", replace(found, found=found.found[:1]))
    page = Page(tmp_path / "a.html")
    assert "NiiVue is not installed" in page.text
    assert "canvas" not in page.tags
    assert "script" not in page.tags
    assert page.tags.count("svg") == 3


def test_a_page_with_its_viewer_holds_the_viewers_licence(pages):
    assert "BSD 2-Clause License" in Page(page_of(pages, "right")).text


def test_two_cases_of_one_name_and_one_called_index_get_pages_of_their_own(cohort, tmp_path):
    found = results.of_folder(cohort / "predictions")
    one = next(result for result in found.found if result.case == "right")
    same = [replace(one, case=name) for name in ("index", "a", "A")]
    write.cohort(tmp_path, replace(found, found=tuple(same)))
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["A_2.html", "a.html", "index.html", "index_2.html"]


def volumes_of(page):
    """Return the volume of the innermost region as a page tells it, each time it does."""
    return re.findall(r"innermost volume mL ([\d.]+)", Page(page).text)


def test_a_case_whose_name_begins_as_another_s_has_its_own_numbers_alone(cohort, tmp_path):
    found = results.of_folder(cohort / "predictions")
    one, other = (each for each in found.found if each.case != NASTY)
    renamed = (replace(one, case="a"), replace(other, case="a_2"))
    write.cohort(tmp_path, replace(found, found=renamed))
    assert [one.case, other.case] == ["empty", "right"]
    inner_ml = (bodies() == 4).sum() * 1.0 * 1.5 * 2.5 / 1000
    assert volumes_of(tmp_path / "a.html") == ["0.000"]
    assert volumes_of(tmp_path / "a_2.html") == [f"{inner_ml:.3g}"]


def test_references_of_other_cases_are_refused(cohort, task, tmp_path):
    shutil.copy(cohort / "labels" / "right.nii.gz", tmp_path / "other.nii.gz")
    found = results.of_folder(cohort / "predictions")
    with pytest.raises(DataError, match="holds no reference of"):
        write.cohort(tmp_path / "out", found, known=evaluate.references(task, tmp_path))


def test_a_case_without_reference_among_others_is_shown_without_comparison(cohort, task, tmp_path):
    (tmp_path / "labels").mkdir()
    shutil.copy(cohort / "labels" / "right.nii.gz", tmp_path / "labels")
    found = results.of_folder(cohort / "predictions")
    few = tuple(result for result in found.found if result.case in ("right", "empty"))
    known = evaluate.references(task, tmp_path / "labels")
    write.cohort(tmp_path / "out", replace(found, found=few), known=known)
    assert "Comparison" in Page(tmp_path / "out" / "right.html").text
    assert "Comparison" not in Page(tmp_path / "out" / "empty.html").text
    assert "1.00" in Page(tmp_path / "out" / "index.html").text
