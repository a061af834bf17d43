"""`medseg export`: a label map for another program."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from medseg.cli.console import out
from medseg.errors import UsageError


def export(
    label_map: Annotated[Path, typer.Argument(help="A label map, such as predict writes.")],
    task: Annotated[str, typer.Option(help="What the labels mean: a name or a YAML file.")],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="File; else beside the label map.")
    ] = None,
    file_format: Annotated[
        Literal["seg.nrrd", "nii.gz"], typer.Option("--format", help="seg.nrrd is 3D Slicer's.")
    ] = "seg.nrrd",
) -> None:
    """Write a label map with names and colours for 3D Slicer."""
    from medseg import export as exporters
    from medseg import formats
    from medseg import task as tasks

    segmentation = formats.read_segmentation(label_map, tasks.read(task))
    path = output or label_map.with_name(f"{formats.stem(label_map)}.{file_format}")
    if path.resolve() == label_map.resolve():
        raise UsageError(
            "would be written over itself", where=label_map, remedy="Name another file with -o"
        )
    exporters.write(path, segmentation)
    out.print(str(path))
