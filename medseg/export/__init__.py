"""Segmentations as files that other programs understand: one module per format."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, Protocol, cast, runtime_checkable

import medseg.export as this_package
from medseg import registry
from medseg.errors import UsageError
from medseg.formats import ANY, Choice
from medseg.segmentation import Segmentation

Frames = Literal["binary", "labelmap"]
"""How a DICOM segmentation holds its voxels: a bit per segment, or a number for all of them."""


@dataclass(frozen=True)
class Reference:
    """The scan that a segmentation belongs to.

    Attributes:
        images: Its file, or one per channel in the task's order; the folder or zip file of a DICOM
            series.
        choice: Which image is meant where a file or folder holds several.
    """

    images: tuple[Path, ...]
    choice: Choice = ANY


@dataclass(frozen=True)
class Settings:
    """What a file holds beside the labels; a format takes no notice of what it cannot hold.

    Attributes:
        reference: The scan, for formats that show it or refer to it.
        regions: Whether regions of several labels, which overlap them, are written too.
        frames: How a DICOM segmentation holds its voxels.
    """

    reference: Reference | None = None
    regions: bool = False
    frames: Frames = "binary"


PLAIN: Final = Settings()
"""The labels alone."""


@runtime_checkable
class Exporter(Protocol):
    """What an exporter's module offers.

    Attributes:
        FORMAT: What a user calls it.
        SUFFIX: How the files it writes end, in lower case; without a dot, a folder of files.
        NEEDS_SERIES: Whether there must be a DICOM series to refer to.
    """

    FORMAT: str
    SUFFIX: str
    NEEDS_SERIES: bool

    def write(self, path: Path, segmentation: Segmentation, settings: Settings = PLAIN) -> None:
        """Write `segmentation` whole or not at all, and read it back.

        Raises:
            ImageError: The reference cannot be read.
            UsageError: The reference is missing, or the format cannot hold what is asked for.
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


def formats() -> dict[str, Exporter]:
    """Return the exporters by what a user calls their formats."""
    exporters = map(load, names())
    return {exporter.FORMAT: exporter for exporter in exporters}


def chosen(
    text: str | None, output: Path | None = None, *, usual: str = "seg.nrrd"
) -> list[Exporter]:
    """Return the exporters of the formats that `text` names, separated by commas.

    Args:
        text: The formats; if absent, the ending of `output` decides.
        output: Where a user wants the result; a file, a folder, or not said.
        usual: The format if nothing decides.

    Raises:
        UsageError: One of them is no format (the message names those there are), or `output` is
            named as another format's file or for several.
    """
    known = formats()
    told = by_ending(output) if output is not None else None
    if text is None:
        return [told or known[usual]]
    wanted = dict.fromkeys(part.strip().lower().removeprefix(".") for part in text.split(","))
    for name in wanted:
        if name not in known:
            raise UsageError(
                f"there is no format {name!r}",
                remedy=f"Choose from {', '.join(known)}; separate several by commas",
            )
    exporters = [known[name] for name in wanted]
    if told is not None and exporters != [told]:
        raise UsageError(
            f"{output} is named as {told.FORMAT}, and not as {' and '.join(wanted)}",
            remedy="Name it otherwise, or leave the format away",
        )
    return exporters


def require_series(exporters: list[Exporter], settings: Settings) -> None:
    """Refuse, before any work is done, a format that refers to a DICOM series where there is none.

    Raises:
        UsageError: There is no reference, or it is no folder and no zip file.
    """
    found = settings.reference is not None and all(
        path.is_dir() or path.suffix.lower() == ".zip" for path in settings.reference.images
    )
    for exporter in exporters:
        if exporter.NEEDS_SERIES and not found:
            raise UsageError(
                f"{exporter.FORMAT} refers to a DICOM series, and there is none",
                remedy="Predict the series itself, or name its folder or zip file with"
                " 'medseg export --reference'",
            )


def by_ending(path: Path) -> Exporter | None:
    """Return the exporter whose files end as `path` does, or None."""
    name = path.name.lower()
    fitting = [exporter for exporter in formats().values() if name.endswith(exporter.SUFFIX)]
    return max(fitting, key=lambda exporter: len(exporter.SUFFIX), default=None)


def write(path: Path, segmentation: Segmentation, settings: Settings = PLAIN) -> None:
    """Write `segmentation` in the format that the ending of `path` asks for.

    Raises:
        ImageError: The reference cannot be read.
        UsageError: No exporter writes files of that ending, the reference is missing, or the
            format cannot hold what is asked for.
        OutputError: It cannot be written, or what was read back differs.
    """
    exporter = by_ending(path)
    if exporter is None:
        endings = [exporter.SUFFIX for exporter in formats().values()]
        raise UsageError(
            "has an ending that no exporter writes",
            where=path,
            remedy=f"Let the name end in {' or '.join(endings)}",
        )
    exporter.write(path, segmentation, settings)
