import gc
import sys

import numpy as np
import pytest
import torch

from medseg.inference import memory

CPU = torch.device("cpu")


def test_a_peak_counts_what_was_held_for_a_moment():
    memory.reset_peak(CPU)
    before = memory.peak_bytes()
    held = np.ones(30_000_000)  # 240 MB
    del held
    assert memory.peak_bytes() - before > 200e6


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a peak cannot be forgotten")
def test_a_peak_is_forgotten():
    held = np.ones(30_000_000)
    high = memory.peak_bytes()
    del held
    gc.collect()
    memory.reset_peak(CPU)
    assert memory.peak_bytes() < high - 100e6


def test_a_processor_has_no_memory_of_its_own():
    assert memory.device_peak_bytes(CPU) is None


def test_where_the_system_tells_no_peak_what_is_held_now_counts(monkeypatch, tmp_path):
    monkeypatch.setattr(memory, "_STATUS", tmp_path / "absent")
    monkeypatch.setattr(memory, "_CLEAR", tmp_path / "absent" / "file")
    memory.reset_peak(CPU)
    assert memory.peak_bytes() > 1e6
