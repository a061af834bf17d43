"""Make RESULTS.md of all that the benchmarks have written."""

import ast
import json
import re
from pathlib import Path
from typing import Any

from harness import RESULTS, Row, markdown, measured_with, table

HERE = Path(__file__).parent


def report() -> str:
    """Lay out every benchmark's table, with the processor and the versions it was measured with."""
    parts = ["# Benchmarks", "Less is better; a ratio above 1 means that medseg is better."]
    for path in sorted(RESULTS.glob("*.json")):
        record = json.loads(path.read_text())
        parts += [
            f"## {record['benchmark']}",
            f"{how_to_run(record['script'])} {measured_with(record)}",
            _table(record),
        ]
    return "\n\n".join(parts) + "\n"


def how_to_run(script: str) -> str:
    """Say how a benchmark is run, with the arguments that it must have."""
    parsed = ast.get_docstring(ast.parse((HERE / script).read_text())) or ""
    found = re.search(rf"python benchmarks/{re.escape(script)}((?:\s--\w+ [A-Z]\w+)*)", parsed)
    needed = found.group(1) if found else ""
    return f"`python benchmarks/{script}{needed}`;"


def _table(record: dict[str, Any]) -> str:
    if "columns" in record:
        return markdown(record["columns"], record["lines"])
    return table([Row(**{k: v for k, v in row.items() if k != "ratio"}) for row in record["rows"]])


if __name__ == "__main__":
    Path(__file__).with_name("RESULTS.md").write_text(report())
