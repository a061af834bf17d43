"""The networks side by side: base size, one patch of 96x96x96 voxels, float32, two threads."""

import torch
from harness import publish_columns

from medseg import networks, registry
from medseg.costs import Measured, Subject, count, measure

THREADS = 2
PATCH = (96, 96, 96)
COLUMNS = [
    "network, base size",
    "parameters",
    "GMACs",
    "forward s",
    "forward + backward s",
    "peak memory, forward GiB",
    "peak memory, forward + backward GiB",
]


def line(name: str) -> list[str]:
    """Count and measure one network."""
    subject = Subject(name, "base", in_channels=1, out_channels=14, patch=PATCH)
    counted = count(subject)
    forward, both = measure(subject, "prediction"), measure(subject, "gradients")
    return [
        name,
        f"{counted.parameters / 1e6:.1f} M",
        f"{counted.multiply_adds / 1e9:.0f}",
        *(f"{measured.seconds:.1f}" for measured in (forward, both)),
        *(gib(measured) for measured in (forward, both)),
    ]


def gib(measured: Measured) -> str:
    """Show memory."""
    return f"{measured.peak_bytes / 2**30:.2f}"


def main() -> None:
    """Measure every network."""
    lines: list[list[str]] = []
    for name in registry.names(networks):
        lines.append(line(name))
        publish_columns("networks", COLUMNS, lines, packages=["torch"], threads=THREADS)


if __name__ == "__main__":
    torch.set_num_threads(THREADS)
    main()
