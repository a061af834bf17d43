"""The site of documents: built without a warning, and complete."""

import ast
import html
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from medseg import task as tasks
from medseg.cli import app
from medseg.resources import folder

ROOT = folder("configs").parent


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    place = tmp_path_factory.mktemp("site")
    mkdocs = Path(sys.executable).with_name("mkdocs")
    command = [mkdocs, "build", "--strict", "--quiet", "--site-dir", place]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    answer = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, env=environment, check=False
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr
    return place


def words(page):
    text = re.sub(r"<(script|style)\b.*?</\1>", "", page.read_text("utf-8"), flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", "", text)).split())


@pytest.mark.slow
def test_the_site_says_what_the_code_says(site):
    commands = words(site / "reference" / "commands" / "index.html")
    verbs = [command.name or command.callback.__name__ for command in app.registered_commands]
    assert len(verbs) > 8
    assert [verb for verb in verbs if f"Usage: medseg {verb} " not in commands] == []
    assert "Usage: medseg models install " in commands
    assert "--json-progress" in commands

    told = words(site / "networks" / "index.html")
    files = sorted(path for path in (ROOT / "medseg" / "networks").glob("[!_]*.py"))
    for path in files:
        docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
        assert docstring.splitlines()[0] in told
    assert told.count("Differs from the reference code:") == len(files) > 4

    predict = words(site / "reference" / "python" / "medseg.inference" / "index.html")
    assert "Segment one scan on its own grid; for several, keep a Predictor" in predict
    errors = words(site / "errors" / "index.html")
    assert "7 CasesFailedError some cases failed, the others are done" in errors
    home = (site / "index.html").read_text(encoding="utf-8")
    for path in (ROOT / "docs").glob("*.md"):
        assert f'href="{path.stem}/"' in home, "it is not in the navigation"
    for name in tasks.names():
        assert (site / "data_cards" / name / "index.html").is_file()


@pytest.mark.slow
def test_no_page_asks_another_server_for_anything(site):
    asking = re.compile(
        r"<(?:script|img|iframe)[^>]+src=\"?https?:|<link[^>]+stylesheet[^>]+https?:"
    )
    pages = list(site.rglob("*.html"))
    assert len(pages) > 30
    assert [page.name for page in pages if asking.search(page.read_text("utf-8"))] == []


def test_the_errors_that_are_explained_are_errors_that_medseg_tells():
    text = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
    explained = re.findall(r"^\| `([^`]+)` \|", text, flags=re.MULTILINE)
    assert len(explained) > 10
    code = "".join(path.read_text("utf-8") for path in (ROOT / "medseg").rglob("*.py"))
    assert [error for error in explained if error not in code] == []
