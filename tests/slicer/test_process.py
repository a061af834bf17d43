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


def joined(process):
    for reader in process._readers:
        reader.join(MOST_SECONDS)
    return process._readers


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


DEAF = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
    "print('on', flush=True); time.sleep(300)"
)


def begun(text):
    process = python(text)
    end = time.monotonic() + MOST_SECONDS
    while not process.lines():
        assert time.monotonic() < end
        time.sleep(0.01)
    return process


def test_it_stops_with_its_children():
    child = "import time; time.sleep(300)"
    process = begun(
        "import subprocess, sys, time;"
        f"print(subprocess.Popen([sys.executable, '-c', '{child}']).pid, flush=True);"
        "time.sleep(300)"
    )
    assert process.exit_code() is None
    process.stop()
    assert ended(process)[0] == -15
    assert all(not reader.is_alive() for reader in joined(process))  # none holds its output open
    process.stop()  # it has ended: nothing happens


def test_one_that_does_not_listen_is_ended():
    process = begun(DEAF)
    process.stop()
    process.stop(at_once=True)
    assert ended(process)[0] == -9


def test_a_program_that_is_not_there_is_an_error():
    with pytest.raises(OSError, match="absent"):
        SystemProcess(["/absent/medseg"], {})
