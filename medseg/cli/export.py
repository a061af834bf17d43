"""`medseg export`: a label map for other programs."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from medseg.cli.console import out
from medseg.cli.output import require_no_source
from medseg.errors import ImageError, UsageError

if TYPE_CHECKING:
    from medseg.export import Exporter


def export(
    label_map: Annotated[Path, typer.Argument(help="A label map, such as predict writes.")],
    task: Annotated[str, typer.Option(help="What the labels mean: a name or a YAML file.")],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="File; else beside the label map.")
    ] = None,
    file_format: Annotated[
        str | None,
        typer.Option(
            "--to",
            "--format",
            help="seg.nrrd (the default) and mrb are 3D Slicer's; dicom-seg; stl; nii.gz; ctbl,"
            " csv, labels.json and label hold names and colours. Several by commas.",
            show_default=False,
        ),
    ] = None,
    reference: Annotated[
        Path | None,
        typer.Option(help="The scan: the DICOM series for dicom-seg, an image to show in mrb."),
    ] = None,
    series: Annotated[
        str | None, typer.Option(help="Which DICOM series: its UID or (part of) its description.")
    ] = None,
    regions: Annotated[
        bool, typer.Option("--regions", help="Write regions of several labels too, overlapping.")
    ] = False,
    dicom_seg: Annotated[
        Literal["binary", "labelmap"],
        typer.Option(help="A bit per segment, which all read; or a number per voxel."),
    ] = "binary",
) -> None:
    """Write a label map with names, colours and codes for other programs."""
    from medseg import export as exporters
    from medseg import formats
    from medseg import task as tasks
    from medseg.formats import Choice

    if reference is not None and not reference.exists():
        raise ImageError(
            "there is no such file or folder", where=reference, remedy="Check the path"
        )
    chosen = exporters.chosen(file_format, output)
    shown = None if reference is None else exporters.Reference((reference,), Choice(series))
    settings = exporters.Settings(shown, regions=regions, frames=dicom_seg)
    exporters.require_series(chosen, settings)
    segmentation = formats.read_segmentation(label_map, tasks.read(task))
    paths = _paths(label_map, output, chosen)
    for path in paths:
        require_no_source(path, (label_map, reference))
    for exporter, path in zip(chosen, paths, strict=True):
        exporter.write(path, segmentation, settings)
        out.print(str(path))


def _paths(label_map: Path, output: Path | None, chosen: "list[Exporter]") -> list[Path]:
    """Return a place for each format: the one named, or beside the label map by its name."""
    from medseg import formats

    if output is not None and len(chosen) > 1:
        raise UsageError(
            f"{len(chosen)} formats cannot go into the one file {output}",
            remedy="Leave -o away, or export one format at a time",
        )
    beside = label_map.parent / formats.stem(label_map)
    return [output or beside.with_name(beside.name + exporter.SUFFIX) for exporter in chosen]
