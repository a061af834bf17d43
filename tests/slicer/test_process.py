import os
import sys
import time

import pytest
from MedSegLib.process import Line, SystemProcess

MOST_SECONDS = 30


def ended(process):
    """Wait for the end of a program, and return its code and lines."""
    end = time.monotonic() + MOST_SECONDS
    lines = []
    while True:
        code = process.exit_code()
        lines += process.lines()
        if code is not None or time.monotonic() > end:
            return code, lines
        time.sleep(0.01)


def python(text, **environment):
    return SystemProcess([sys.executable, "-c", text], {**os.environ, **environment})


def test_all_lines_of_both_streams_come_before_the_end_is_told():
    many = (
        "import sys; [print(n) for n in range(500)]; print('Größe', file=sys.stderr); sys.exit(7)"
    )
    code, lines = ended(python(many, PYTHONUTF8="1"))
    assert code == 7
    assert [line.text for line in lines if not line.is_error] == [str(n) for n in range(500)]
    assert [line for line in lines if line.is_error] == [Line("Größe", True)]


def test_it_runs_in_the_environment_that_was_given_and_no_other():
    process = SystemProcess(
        [sys.executable, "-c", "import os; print(os.environ.get('HOME'), os.environ['MARK'])"],
        {"MARK": "here"},
    )
    assert ended(process)[1] == [Line("None here", False)]


SLEEPER = "import subprocess, sys, time; print('on', flush=True); time.sleep(300)"
DEAF = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN); " + SLEEPER


def begun(text):
    process = python(text)
    end = time.monotonic() + MOST_SECONDS
    while not process.lines():
        assert time.monotonic() < end
        time.sleep(0.01)
    return process


def test_it_stops_as_by_ctrl_c():
    process = begun(f"try:\n {SLEEPER}\nexcept KeyboardInterrupt:\n sys.exit(130)")
    assert process.exit_code() is None
    process.stop()
    assert ended(process)[0] == 130
    process.stop()  # it has ended: nothing happens


def test_one_that_does_not_listen_is_ended():
    process = begun(DEAF)
    process.stop()
    process.stop(at_once=True)
    assert ended(process)[0] == -9


def test_a_program_that_is_not_there_is_an_error():
    with pytest.raises(OSError, match="absent"):
        SystemProcess(["/absent/medseg"], {})
