"""What the documents show is so; its commands and links are tested with the README's."""

import re

import pytest

from medseg import export
from medseg.__main__ import run
from medseg.data import layouts
from medseg.evaluation import clinical, conventions
from medseg.resources import folder

DOCS = folder("configs").parent / "docs"
SCORES = (DOCS / "scores.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("block", re.findall(r"```python\n(.*?)```", SCORES, flags=re.DOTALL))
def test_a_piece_of_python_runs(block):
    exec(compile(block, "docs/scores.md", "exec"), {})


def test_every_convention_and_every_clinical_number_is_told():
    told = set(re.findall(r"^\| `(\w+)` \|", SCORES, flags=re.MULTILINE))
    assert told == {*conventions.names(), *clinical.names()}


def test_every_layout_is_told():
    data = (DOCS / "data.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `(\w+)` \|", data, flags=re.MULTILINE)) == set(layouts.names())


def test_every_format_is_told_in_the_documents_and_in_the_help(capsys):
    told = (DOCS / "exports.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ((?:`[\w.-]+`(?:, )?)+) \| `SCAN_seg", told, flags=re.MULTILINE)
    assert set(re.findall(r"[\w.-]+", " ".join(rows))) == set(export.formats())
    assert run(["export", "--help"]) == 0
    shown = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert [name for name in export.formats() if name not in shown] == []


@pytest.mark.parametrize("name", sorted(set(conventions.names()) - {"medseg"}))
def test_the_source_of_a_convention_is_linked(name):
    assert f"({conventions.load(name).SOURCE})" in SCORES
