"""Run every benchmark, each in a process of its own, then make the report."""

import subprocess
import sys
from pathlib import Path

from harness import NOT_RUN

HERE = Path(__file__).parent
PARTS = {"exponentials.py", "harness.py", "report.py", "run_all.py"} | {
    f"inference_{part}.py"
    for part in ("window", "engine", "files")  # inference.py runs them
}
HOURS = {"against_nnunet.py", "hippocampus.py", "speed_options.py"}
"""Take hours, or a run that took hours: run by hand."""


def main() -> None:
    """Run what lies in this folder; the report comes last, and what lacked its data is named."""
    not_run: list[str] = []
    for script in sorted(p for p in HERE.glob("*.py") if p.name not in PARTS | HOURS):
        print(f"== {script.name}", flush=True)
        ended = subprocess.run([sys.executable, str(script)], check=False)
        if ended.returncode == NOT_RUN:
            not_run.append(script.name)
        else:
            ended.check_returncode()
    subprocess.run([sys.executable, str(HERE / "report.py")], check=True)
    if not_run:
        print(f"NOT RUN for want of data, old numbers are kept: {', '.join(not_run)}")


if __name__ == "__main__":
    main()
