"""`medseg import`: a corrected segmentation as a label map to train with."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from medseg.cli.console import err, out
from medseg.errors import DataError

if TYPE_CHECKING:
    from medseg.segmentation import Segmentation
    from medseg.volume import Grid


def import_labels(
    file: Annotated[Path, typer.Argument(help="A .seg.nrrd, a DICOM segmentation, a label map.")],
    task: Annotated[str, typer.Option(help="What the labels are: a name or a YAML file.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder for the label map.")],
    image: Annotated[
        Path | None,
        typer.Option(help="The scan: the label map gets its name and its grid, voxel by voxel."),
    ] = None,
    series: Annotated[
        str | None, typer.Option(help="Which DICOM series: its UID or (part of) its description.")
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="From which fraction on a voxel counts as a segment."),
    ] = None,
) -> None:
    """Make a label map for training of a segmentation that was corrected elsewhere.

    Segments are matched to the labels of the task by name, in DICOM also by code; what cannot be
    matched is an error that names the labels there are.
    """
    from medseg import export, formats
    from medseg import task as tasks
    from medseg.cli.output import require_folder, require_no_source
    from medseg.formats import Choice

    require_folder(output)
    known = tasks.read(task)
    found = formats.as_segmentation(formats.read_label_map(file, threshold), file, known)
    name = formats.stem(file) if formats.suffix_of(file) else file.stem
    name = name.removesuffix("_seg")
    if image is not None:
        name = formats.stem(image)
        found = _onto(formats.read(image, Choice(series)).grid, found, file)
    target = output / f"{name}.nii.gz"
    require_no_source(target, (file, image))
    for label in known.labels:
        err.print(f"{known.title_of(label)}: {found.volume_ml(label):.4g} mL")
    export.write(target, found)
    out.print(str(target))


def _onto(grid: "Grid", found: "Segmentation", file: Path) -> "Segmentation":
    """Return the segmentation on the grid of its scan; nothing may be lost beyond its border."""
    import numpy as np

    from medseg.volume import lies_inside

    if grid.matches(found.grid):
        return type(found)(found.label_map, grid, found.task)
    outside = np.count_nonzero(found.label_map[~lies_inside(found.grid, grid)])
    if outside:
        raise DataError(
            f"has {outside} labelled voxels outside the scan",
            where=file,
            remedy="Name the scan it was drawn on, or cut off what lies outside",
        )
    if not found.grid.shares_voxels_with(grid):
        err.print("Its voxels are not those of the scan: each takes the nearest label")
    return found.on(grid)
