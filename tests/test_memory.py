"""How much memory this process holds."""

import errno
import subprocess
import sys

import numpy as np
import psutil
import pytest
import torch

from medseg import memory
from medseg.errors import ImageError

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
    assert memory.forget_peak()
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


def of_torch():
    """The error of torch itself on the processor."""
    try:
        torch.empty(2**58, dtype=torch.uint8)
    except RuntimeError as error:
        return error
    raise AssertionError("there was memory")


@pytest.mark.parametrize(
    "error",
    [
        of_torch(),
        MemoryError(),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
        torch.OutOfMemoryError("anything"),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        torch.AcceleratorError("CUDA error: out of memory\nCUDA kernel errors might be"),
        RuntimeError("HIP out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"),
        RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes."),
        RuntimeError("unable to mmap 9 bytes from file <x>: Cannot allocate memory (12)"),
        RuntimeError("std::bad_alloc"),
    ],
    ids=lambda error: str(error)[:40],
)
def test_the_errors_of_a_lack_of_memory_are_known(error):
    assert memory.ran_out(error)


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR"),
        RuntimeError("CUDA error: an illegal memory access was encountered"),
        RuntimeError("shape '[2, 3]' is invalid for input of size 5"),
        OSError(errno.ENOSPC, "No space left on device"),
        ValueError("out of memory"),
        ImageError("needs 9 GB of memory", remedy="Close other programs"),
    ],
    ids=lambda error: str(error)[:40],
)
def test_other_errors_are_no_lack_of_memory(error):
    assert not memory.ran_out(error)
