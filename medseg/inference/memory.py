"""The peak memory of this process while something runs."""

import contextlib
from pathlib import Path
from typing import Final

import psutil
import torch

_STATUS: Final = Path("/proc/self/status")
_CLEAR: Final = Path("/proc/self/clear_refs")


def reset_peak(device: torch.device) -> None:
    """Forget the peaks so far, where the system can."""
    with contextlib.suppress(OSError):
        _CLEAR.write_text("5")  # on Linux, sets the peak to what is held now
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def peak_bytes() -> int:
    """Return the largest resident size since `reset_peak`, or since the start of the process."""
    with contextlib.suppress(OSError):
        for line in _STATUS.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    held = psutil.Process().memory_info()
    return int(getattr(held, "peak_wset", held.rss))


def device_peak_bytes(device: torch.device) -> int | None:
    """Return the most that was held on a GPU since `reset_peak`; None for the CPU."""
    return int(torch.cuda.max_memory_allocated(device)) if device.type == "cuda" else None
