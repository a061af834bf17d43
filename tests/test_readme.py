"""What the README and the other documents show is so."""

import re
import shlex

import pytest

from medseg import errors
from medseg.__main__ import run
from medseg.resources import folder

ROOT = folder("configs").parent
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
TEXTS = {path: path.read_text(encoding="utf-8") for path in DOCUMENTS}
README = TEXTS[ROOT / "README.md"]
COMMANDS = [
    shlex.split(line, comments=True)
    for text in TEXTS.values()
    for block in re.findall(r"```sh\n(.*?)```", text, flags=re.DOTALL)
    for line in block.replace("\\\n", " ").splitlines()
    if line.startswith("medseg ")
]


GROUPS = {"models", "tasks"}
"""Verbs that have verbs of their own, each with its options."""


def _options(command, capsys):
    verbs = command[1:3] if command[1] in GROUPS else command[1:2]
    assert run([*verbs, "--help"]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_is_one_that_medseg_takes(command, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    known = set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", _options(command, capsys)))
    options = {word for word in command[2:] if word.startswith("-")}
    assert options <= known


def test_there_are_commands_for_the_whole_line():
    assert {command[1] for command in COMMANDS} >= {"train", "predict", "evaluate"}


def test_every_exit_code_is_told():
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    codes = {kind.exit_code for kind in kinds if issubclass(kind, errors.MedsegError)}
    assert all(f"\n| {code} | " in README for code in codes | {0, 130})


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_leads_somewhere(path):
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", TEXTS[path])
    assert links
    assert [link for link in links if not (path.parent / link).exists()] == []


def test_it_says_for_whom_it_is():
    assert "research use only" in README.lower()
