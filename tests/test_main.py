"""The command line as a whole: help at once, one line per error, an exit code per class."""

import subprocess
import sys

import pytest

from medseg import __main__, __version__
from medseg.__main__ import run
from medseg.errors import OutputError

VERBS = ("train", "predict", "evaluate", "compare", "export", "tasks", "phantom", "demo")


def test_help_names_every_verb(capsys):
    assert run(["--help"]) == 0
    shown = capsys.readouterr().out
    assert all(verb in shown for verb in VERBS)
    assert "research use only" in shown.lower()


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself(verb, capsys):
    assert run([verb, "--help"]) == 0
    assert "Usage" in capsys.readouterr().out


def test_version_is_printed(capsys):
    assert run(["--version"]) == 0
    assert capsys.readouterr().out == f"medseg {__version__}\n"


def test_help_imports_nothing_heavy():
    heavy = ["torch", "monai", "nibabel", "numpy", "SimpleITK", "itk", "nnunetv2", "matplotlib"]
    code = f"import sys; import medseg.cli; print([m for m in {heavy} if m in sys.modules])"
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == "[]"


def test_the_module_runs_as_a_program():
    answer = subprocess.run(
        [sys.executable, "-m", "medseg", "predict"], capture_output=True, text=True
    )
    assert answer.returncode == 2
    assert answer.stderr == "medseg: no scan was given. Name the scans, or folders of scans.\n"


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (
            OutputError("is full", remedy="Make room", where="/disk"),
            6,
            "/disk: is full. Make room.",
        ),
        (KeyboardInterrupt(), 130, "stopped"),
        (MemoryError(), 1, "out of memory"),
        (ZeroDivisionError("by zero\nat all"), 1, "ZeroDivisionError: by zero. Add --debug"),
    ],
)
def test_an_error_is_one_line_and_an_exit_code(monkeypatch, capsys, error, code, message):
    def fail(*_args, **_kwargs):
        raise error

    monkeypatch.setattr("medseg.cli.app", fail)
    assert run(["tasks"]) == code
    shown = capsys.readouterr().err
    assert message in shown
    assert shown.count("\n") == 1
    with pytest.raises(type(error)):
        run(["tasks"], debug=True)


def test_ctrl_c_in_a_verb_is_told(monkeypatch, capsys):
    def interrupted(*_args, **_kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("medseg.task.names", interrupted)
    assert run(["tasks"]) == 130
    assert capsys.readouterr().err.strip().endswith("medseg: stopped")


def test_a_wrong_option_is_a_wrong_usage():
    assert run(["predict", "--colour", "red"]) == 2


def test_debug_may_stand_anywhere(monkeypatch):
    seen = []
    monkeypatch.setattr(sys, "argv", ["medseg", "predict", "--debug", "scan.nii"])
    monkeypatch.setattr(
        __main__, "run", lambda arguments, *, debug: seen.append((arguments, debug)) or 0
    )
    with pytest.raises(SystemExit):
        __main__.main()
    assert seen == [(["predict", "scan.nii"], True)]


def test_a_training_that_follows_another_process_silences_itself_alone(monkeypatch, capsys):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    assert run(["train", "--task", "phantom", "--fold", "none"]) == 2
    monkeypatch.delenv("WORLD_SIZE")
    capsys.readouterr()
    assert run(["tasks"]) == 0
    assert "hippocampus" in capsys.readouterr().out
