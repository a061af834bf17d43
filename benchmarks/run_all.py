"""Run every benchmark, each in a process of its own, then make the report."""

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
PARTS = {"exponentials.py", "harness.py", "report.py", "run_all.py"}
HOURS = {"hippocampus.py"}
"""Takes hours and needs data: run by hand."""


def main() -> None:
    """Run what lies in this folder; the report comes last."""
    for script in sorted(p for p in HERE.glob("*.py") if p.name not in PARTS | HOURS):
        print(f"== {script.name}", flush=True)
        subprocess.run([sys.executable, str(script)], check=True)
    subprocess.run([sys.executable, str(HERE / "report.py")], check=True)


if __name__ == "__main__":
    main()
