"""Measure two implementations in one run, interleaved, and keep the figures as JSON.

Every benchmark is a script: it measures cases with `median_seconds` and `rise_of_peak_bytes`, and
hands its rows to `publish`.
"""

import json
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from medseg import memory

RESULTS = Path(__file__).parent / "results"

Action = Callable[[], object]

NOT_RUN = 77
"""Exit code of a benchmark that lacks its data, as automake has it for a test."""


@dataclass(frozen=True, slots=True)
class Row:
    """One quantity of one case, ours beside others'; less is better."""

    case: str
    quantity: str
    unit: str
    medseg: float
    peers: dict[str, float]

    @property
    def ratio(self) -> float:
        """How many times the best peer's figure is ours; above 1, ours is better."""
        return min(self.peers.values()) / self.medseg


def median_seconds(actions: Mapping[str, Action], *, repeats: int) -> dict[str, float]:
    """Time each action `repeats` times in turn, after one turn that does not count."""
    seconds: dict[str, list[float]] = {name: [] for name in actions}
    for turn in range(repeats + 1):
        for name, action in actions.items():
            start = time.perf_counter()
            action()
            if turn:
                seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}


def rise_of_peak_bytes(action: Action) -> int:
    """Measure by how much an action raises the peak of memory, in a process of its own."""
    before = memory.resident_bytes()
    memory.forget_peak()
    action()
    return memory.peak_bytes() - before


def in_fresh_process(script: str, *arguments: str) -> str:
    """Run a benchmark's script again with arguments, and return its last line of output."""
    done = subprocess.run(
        [sys.executable, script, *arguments], check=True, capture_output=True, text=True
    )
    return done.stdout.strip().splitlines()[-1]


def publish(name: str, rows: list[Row], *, packages: list[str], threads: int) -> None:
    """Print the rows as a table, and write them beside the processor's name and the versions."""
    print(table(rows))
    record = {"rows": [{**asdict(row), "ratio": row.ratio} for row in rows]}
    _keep(name, record, packages=packages, threads=threads)


def publish_columns(
    name: str,
    columns: list[str],
    lines: list[list[str]],
    *,
    packages: list[str],
    threads: int,
    device: str = "cpu",
) -> None:
    """Do the same for a table that compares more than two things in more than one quantity."""
    print(markdown(columns, lines))
    record = {"columns": columns, "lines": lines}
    _keep(name, record, packages=packages, threads=threads, device=device)


def _keep(
    name: str,
    record: dict[str, object],
    *,
    packages: list[str],
    threads: int,
    device: str = "cpu",
) -> None:
    """Write figures to a file, with all that they depend on."""
    circumstances = {
        "benchmark": name,
        "script": Path(sys.argv[0]).name,
        "processor": processor(),
        "threads": threads,
        "device": device,
        **({"gpu": gpu()} if device == "cuda" else {}),
        "versions": {"python": platform.python_version(), **{p: version(p) for p in packages}},
    }
    print(measured_with(circumstances), flush=True)
    RESULTS.mkdir(exist_ok=True)
    text = json.dumps({**circumstances, **record}, indent=2)
    (RESULTS / f"{name}.json").write_text(text + "\n")


def measured_with(record: Mapping[str, Any]) -> str:
    """Say what figures were measured with, as `publish` writes it."""
    versions = ", ".join(f"{name} {number}" for name, number in record["versions"].items())
    gpu = f"{record['gpu']}; " if "gpu" in record else ""
    return f"{gpu}{record['processor']}, {record['threads']} threads; {versions}."


def table(rows: list[Row]) -> str:
    """Lay rows out as a Markdown table."""
    peers = list(dict.fromkeys(peer for row in rows for peer in row.peers))
    columns = ["case", "quantity", "unit", "medseg", *peers, "ratio"]
    lines = []
    for row in rows:
        figures = [row.medseg, *(row.peers.get(peer) for peer in peers)]
        shown = ["" if figure is None else f"{figure:.3g}" for figure in figures]
        lines.append([row.case, row.quantity, row.unit, *shown, f"{row.ratio:.2f}"])
    return markdown(columns, lines)


def markdown(columns: list[str], lines: list[list[str]]) -> str:
    """Lay out a table."""
    rows = [columns, ["---"] * len(columns), *lines]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def processor() -> str:
    """Name the processor."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor()


def gpu() -> str:
    """Name the GPU."""
    import torch

    return str(torch.cuda.get_device_name())
