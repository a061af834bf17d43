"""The environment that medseg runs in: that of the user, without what belongs to Slicer.

Slicer's launcher points Python, the linker and Qt at its own libraries; another Python that
inherits these variables does not start, or loads the wrong libraries.
"""

import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Optional

PROGRAM = "medseg"

_OF_PYTHON = (
    "PYTHONHOME",
    "PYTHONPATH",
    "PYTHONNOUSERSITE",
    "PYTHONSTARTUP",
    "PYTHONEXECUTABLE",
)
_FOLDERS = (
    "PATH",
    "LD_LIBRARY_PATH",
    "DYLD_LIBRARY_PATH",
    "DYLD_FRAMEWORK_PATH",
    "QT_PLUGIN_PATH",
)
_FILES = ("SSL_CERT_FILE",)


def cleaned(environment: Mapping[str, str], slicer_folders: Iterable[str]) -> dict[str, str]:
    """Return `environment` for a program that is no part of Slicer.

    Variables that say where Python's libraries are go; from lists of folders, those inside
    `slicer_folders` go, and a list with none left goes itself. What medseg prints comes in UTF-8
    and at once.
    """
    roots = [Path(folder).resolve() for folder in slicer_folders if folder]
    kept = {name: value for name, value in environment.items() if name not in _OF_PYTHON}
    for name in _FOLDERS:
        if name in kept:
            folders = [each for each in kept[name].split(os.pathsep) if not _inside(each, roots)]
            kept[name] = os.pathsep.join(folders)
            if not kept[name].strip(os.pathsep):
                del kept[name]
    for name in _FILES:
        if _inside(kept.get(name, ""), roots):
            del kept[name]
    return {**kept, "PYTHONUTF8": "1", "PYTHONUNBUFFERED": "1"}


def find_program(environment: Mapping[str, str], home: Path) -> Optional[str]:
    """Return the path of medseg: on the `PATH` of `environment`, or where pip and pipx put it."""
    places = [environment.get("PATH", ""), str(home / ".local" / "bin")]
    return shutil.which(PROGRAM, path=os.pathsep.join(place for place in places if place))


def _inside(path: str, roots: list[Path]) -> bool:
    return bool(path) and any(Path(path).resolve().is_relative_to(root) for root in roots)
