"""How much memory this process holds, and has held at most."""

import sys
from pathlib import Path
from typing import Final

STATUS: Final = Path("/proc/self/status")
"""Where Linux accounts for this process."""


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


def forget_peak() -> None:
    """Let the peak begin at what is held now, where the system can do that: on most Linux."""
    if sys.platform == "linux":
        try:
            Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
        except OSError:  # some containers forbid it; the peak so far then counts
            return


def _high_water_mark() -> int:
    for line in STATUS.read_text(encoding="utf-8").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise OSError(f"{STATUS} does not tell the peak of memory (VmHWM)")
