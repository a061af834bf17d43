"""How much memory this process holds."""

import subprocess
import sys

import numpy as np
import psutil
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


def test_what_was_freed_goes_back_to_the_system():
    pieces = [np.ones(64 * 1024, np.uint8) for _ in range(1600)]
    kept = pieces[-1]
    held = memory.resident_bytes()
    del pieces
    memory.give_back()
    assert memory.resident_bytes() < held - 50 * MIB
    assert kept.all()


def test_there_is_memory_left_and_no_more_than_the_machine_has():
    assert 10 * MIB < memory.available_bytes() <= psutil.virtual_memory().total


@pytest.mark.parametrize("version", [1, 2])
def test_the_limit_of_a_container_counts(version, tmp_path, monkeypatch):
    names = ("memory.limit_in_bytes", "memory.usage_in_bytes")
    names = names if version == 1 else ("memory.max", "memory.current")
    for name, text in zip(names, ("1000\n", "900\n"), strict=True):
        (tmp_path / name).write_text(text)
    old = version == 1
    files = "total_inactive_file 300\n" if old else "anon 5\ninactive_file 300\n"
    (tmp_path / "memory.stat").write_text(files)
    monkeypatch.setattr(memory, "_V2", tmp_path / "none" if old else tmp_path)
    monkeypatch.setattr(memory, "_V1_LIMIT", tmp_path / "memory.limit_in_bytes")
    monkeypatch.setattr(memory, "_V1_USED", tmp_path / "memory.usage_in_bytes")
    assert memory.available_bytes() == 400
    assert memory.total_bytes() == 1000
