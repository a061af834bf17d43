"""How much memory this process holds."""

import subprocess
import sys

import numpy as np
import pytest

from medseg import memory

MIB = 2**20
SIZE = 200 * MIB


def test_the_peak_is_at_least_what_is_held():
    assert 10 * MIB < memory.resident_bytes() <= memory.peak_bytes() + MIB


def test_the_peak_outlasts_what_was_held():
    before = memory.resident_bytes()
    held = np.ones(SIZE, np.uint8)
    del held
    assert memory.peak_bytes() > before + 0.9 * SIZE


@pytest.mark.skipif(sys.platform != "linux", reason="other systems begin at nothing by themselves")
def test_a_program_begins_without_the_peak_of_its_parent():
    held = np.ones(SIZE, np.uint8)
    command = "from medseg import memory; print(memory.peak_bytes())"
    done = subprocess.run([sys.executable, "-c", command], capture_output=True, check=True)
    assert int(done.stdout) < SIZE < memory.peak_bytes()
    assert held.all()


@pytest.mark.skipif(sys.platform != "linux", reason="other systems forget no peak")
def test_a_peak_can_be_forgotten():
    held = np.ones(SIZE, np.uint8)
    del held
    memory.forget_peak()
    assert memory.peak_bytes() < memory.resident_bytes() + SIZE / 2
