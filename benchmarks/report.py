"""Make RESULTS.md of all that the benchmarks have written."""

import json
from pathlib import Path

from harness import RESULTS, Row, table


def report() -> str:
    """Lay out every benchmark's table, with the processor and the versions it was measured with."""
    parts = ["# Benchmarks", "Less is better; a ratio above 1 means that medseg is better."]
    for path in sorted(RESULTS.glob("*.json")):
        record = json.loads(path.read_text())
        rows = [Row(**{k: v for k, v in row.items() if k != "ratio"}) for row in record["rows"]]
        versions = ", ".join(f"{name} {number}" for name, number in record["versions"].items())
        parts += [
            f"## {record['benchmark']}",
            f"{record['processor']}, {record['threads']} threads; {versions}.",
            table(rows),
        ]
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    Path(__file__).with_name("RESULTS.md").write_text(report())
