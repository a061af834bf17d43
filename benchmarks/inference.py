"""Prediction beside its peers, all parts in one run: one window, the engine, files to files.

    python benchmarks/inference.py [--only window|engine|files]

Each part is a script (`inference_<part>.py`), runs in a process of its own, and has a table of
its own.
"""

import argparse
import subprocess
import sys
from pathlib import Path

PARTS = ("window", "engine", "files")
HERE = Path(__file__).parent


def main() -> None:
    """Run the parts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=PARTS)
    only = parser.parse_args().only
    for part in PARTS if only is None else (only,):
        print(f"== {part}", flush=True)
        subprocess.run([sys.executable, str(HERE / f"inference_{part}.py")], check=True)


if __name__ == "__main__":
    main()
