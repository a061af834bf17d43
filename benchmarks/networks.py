"""The networks side by side: base size, one patch of 96x96x96 voxels.

`python benchmarks/networks.py [--device cuda]`: in float32 on two threads of the processor, or on a
GPU in bfloat16 as in training.
"""

import argparse

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


def line(name: str, device: str) -> list[str]:
    """Count and measure one network."""
    subject = Subject(name, "base", in_channels=1, out_channels=14, patch=PATCH)
    counted = count(subject)
    forward = measure(subject, "prediction", device=device, threads=THREADS)
    both = measure(subject, "gradients", device=device, threads=THREADS)
    return [
        name,
        f"{counted.parameters / 1e6:.1f} M",
        f"{counted.multiply_adds / 1e9:.0f}",
        *(f"{measured.seconds:.3g}" for measured in (forward, both)),
        *(gib(measured) for measured in (forward, both)),
    ]


def gib(measured: Measured) -> str:
    """Show memory."""
    return f"{measured.peak_bytes / 2**30:.2f}"


def main() -> None:
    """Measure every network."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    device = parser.parse_args().device
    lines: list[list[str]] = []
    for name in registry.names(networks):
        lines.append(line(name, device))
        publish_columns(
            f"networks_{device}",
            COLUMNS,
            lines,
            packages=["torch"],
            threads=THREADS,
            device=device,
        )


if __name__ == "__main__":
    main()
