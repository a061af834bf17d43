"""How much memory this process holds, and has held at most; whether an error says it ran out."""

import ctypes
import errno
import sys
from pathlib import Path
from typing import Final

STATUS: Final = Path("/proc/self/status")
"""Where Linux accounts for this process."""

WORDS: Final = (
    "out of memory",  # of CUDA, HIP, MPS and XPU, whether torch's allocator says it or the driver
    "_status_alloc_failed",  # of cuBLAS, cuDNN, cuSOLVER, cuSPARSE and their like for HIP
    "_allocation_failed",  # of cuDNN 9, for the device and the host
    "defaultcpuallocator",  # of torch on the processor
    "cannot allocate memory",  # of the system, where torch maps a file
    "bad_alloc",  # of C++
)
"""What errors of torch say, in small letters, when memory ran out.

`CUDNN_STATUS_INTERNAL_ERROR` alone is not among them: cuDNN 9 has words of its own for memory, so
that what is left is a fault, which a smaller tile would hide.
"""

_V2: Final = Path("/sys/fs/cgroup")
_V1_LIMIT: Final = Path("/sys/fs/cgroup/memory/memory.limit_in_bytes")
_V1_USED: Final = Path("/sys/fs/cgroup/memory/memory.usage_in_bytes")


def resident_bytes() -> int:
    """Return how much memory this process holds now."""
    import psutil

    return int(psutil.Process().memory_info().rss)


def peak_bytes() -> int:
    """Return the most memory that this process has held.

    On Linux the kernel's `ru_maxrss` is no answer: it begins at the peak of the process that
    started this one. The high-water mark of the address space begins afresh with each program.
    """
    if sys.platform == "win32":
        import psutil

        return int(psutil.Process().memory_info().peak_wset)
    if STATUS.exists():
        return _high_water_mark()
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def forget_peak() -> bool:
    """Let the peak begin at what is held now, where the system can do that: on most Linux.

    Returns:
        Whether it does; else the peak so far counts.
    """
    if sys.platform != "linux":
        return False
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:  # some containers forbid it
        return False
    return True


def _high_water_mark() -> int:
    for line in STATUS.read_text(encoding="utf-8").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise OSError(f"{STATUS} does not tell the peak of memory (VmHWM)")


def give_back() -> None:
    """Return to the system what was freed; the C library of Linux keeps it for later by itself."""
    if sys.platform == "linux" and (trim := getattr(ctypes.CDLL(None), "malloc_trim", None)):
        trim(0)


def available_bytes() -> int:
    """Return how much memory this process may still take, within its container's limit if any."""
    import psutil

    free = int(psutil.virtual_memory().available)
    for limit, used in ((_V2 / "memory.max", _V2 / "memory.current"), (_V1_LIMIT, _V1_USED)):
        if limit.is_file() and (most := limit.read_text().strip()).isdigit():
            free = min(
                free, max(0, int(most) - int(used.read_text()) + _cached_bytes(limit.parent))
            )
    return free


def total_bytes() -> int:
    """Return how much memory there is, used or not, within this container's limit if any."""
    import psutil

    total = int(psutil.virtual_memory().total)
    for limit in (_V2 / "memory.max", _V1_LIMIT):
        if limit.is_file() and (most := limit.read_text().strip()).isdigit():
            total = min(total, int(most))
    return total


def _cached_bytes(group: Path) -> int:
    """Return how much of what a container holds is files that can be dropped."""
    for line in (group / "memory.stat").read_text().splitlines():
        name, _, value = line.partition(" ")
        if name in {"inactive_file", "total_inactive_file"}:
            return int(value)
    return 0


def ran_out(error: BaseException) -> bool:
    """Tell whether an error says that memory ran out, of the machine or of a GPU."""
    import torch

    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    said = str(error).lower()
    return isinstance(error, RuntimeError) and any(words in said for words in WORDS)
