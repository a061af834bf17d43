"""`medseg doctor`: what this machine offers, and whether a prediction works on it."""

from pathlib import Path

from medseg.cli.console import out
from medseg.errors import MedsegError


def doctor() -> None:
    """Look at torch, CUDA, memory, disk, threads and packages, and run a tiny prediction."""
    from medseg.inference.checkup import examine

    broken = []
    for finding in examine(Path.cwd()):
        mark = "ERROR" if finding.broken else "look " if finding.remedy else "ok   "
        remedy = f" -> {finding.remedy}" if finding.remedy else ""
        out.print(f"{mark} {finding.what}: {finding.found}{remedy}")
        broken += [finding] if finding.broken else []
    if broken:
        raise MedsegError(
            f"{broken[0].what} {broken[0].found}", remedy=broken[0].remedy or "Install medseg anew"
        )
