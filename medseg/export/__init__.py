"""Segmentations as files that other programs understand: one module per format."""

from pathlib import Path
from typing import Protocol, cast, runtime_checkable

import medseg.export as this_package
from medseg import registry
from medseg.errors import UsageError
from medseg.segmentation import Segmentation


@runtime_checkable
class Exporter(Protocol):
    """What an exporter's module offers.

    Attributes:
        SUFFIX: How the files it writes end, in lower case.
    """

    SUFFIX: str

    def write(self, path: Path, segmentation: Segmentation) -> None:
        """Write `segmentation` whole or not at all, and read it back.

        Raises:
            OutputError: It cannot be written, or what was read back differs.
        """


def names() -> list[str]:
    """Return the names of the exporters, sorted."""
    return registry.names(this_package)


def load(name: str) -> Exporter:
    """Return the exporter called `name`.

    Raises:
        ValueError: There is no such exporter; the message lists those there are.
    """
    return cast(Exporter, registry.load(this_package, name))


def suffixes() -> dict[str, str]:
    """Return the ending of every exporter's files with the exporter's name."""
    return {load(name).SUFFIX: name for name in names()}


def write(path: Path, segmentation: Segmentation) -> None:
    """Write `segmentation` in the format that the ending of `path` asks for.

    Raises:
        UsageError: No exporter writes files of that ending.
        OutputError: It cannot be written, or what was read back differs.
    """
    for suffix, name in suffixes().items():
        if path.name.lower().endswith(suffix):
            load(name).write(path, segmentation)
            return
    raise UsageError(
        "has an ending that no exporter writes",
        where=path,
        remedy=f"Let the name end in {' or '.join(suffixes())}",
    )
