"""Make RESULTS.md of all that the benchmarks have written."""

import json
from pathlib import Path
from typing import Any

from harness import RESULTS, Row, markdown, measured_with, table


def report() -> str:
    """Lay out every benchmark's table, with the processor and the versions it was measured with."""
    parts = ["# Benchmarks", "Less is better; a ratio above 1 means that medseg is better."]
    for path in sorted(RESULTS.glob("*.json")):
        record = json.loads(path.read_text())
        parts += [
            f"## {record['benchmark']}",
            measured_with(record),
            _table(record),
        ]
    return "\n\n".join(parts) + "\n"


def _table(record: dict[str, Any]) -> str:
    if "columns" in record:
        return markdown(record["columns"], record["lines"])
    return table([Row(**{k: v for k, v in row.items() if k != "ratio"}) for row in record["rows"]])


if __name__ == "__main__":
    Path(__file__).with_name("RESULTS.md").write_text(report())
