"""What `medseg predict` writes of each scan: one file, or one for each of several formats."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from medseg.cli.output import require_folder

if TYPE_CHECKING:
    from medseg.export import Exporter
    from medseg.formats import Choice
    from medseg.inference.cohort import Job
    from medseg.inference.scans import Scan
    from medseg.segmentation import Segmentation


def plan(
    scans: "list[Scan]", output: Path | None, exporters: "list[Exporter]"
) -> "tuple[list[Job], Exporter]":
    """Return the jobs, and the exporter of the files that tell whether a job is done.

    That is the format of which most files are missing, so that a format that was added is written
    for cases that are done in the others; of equals, one that medseg reads itself.

    Raises:
        UsageError: The scans cannot go to `output`, or a folder would be called as a file is.
    """
    from medseg import export, formats
    from medseg.inference.cohort import plan_jobs

    if output is not None and not (export.by_ending(output) or formats.suffix_of(output)):
        require_folder(output)
    plans = [(plan_jobs(scans, output, exporter.SUFFIX), exporter) for exporter in exporters]

    def rank(plan: "tuple[list[Job], Exporter]") -> tuple[int, bool]:
        missing = sum(not job.output.exists() for job in plan[0])
        return missing, formats.suffix_of(plan[0][0].output) is not None

    return max(plans, key=rank)


def writer(
    jobs: "list[Job]", leading: "Exporter", exporters: "list[Exporter]", choice: "Choice"
) -> "Callable[[Path, Segmentation], None]":
    """Return what writes a segmentation in every format, the file that tells of all others last.

    Raises:
        UsageError: A format needs what a scan does not have.
    """
    from medseg import export

    settings = {
        job.output: export.Settings(export.Reference(job.case.images, choice)) for job in jobs
    }
    for given in settings.values():
        export.require_series(exporters, given)

    def write(path: Path, segmentation: "Segmentation") -> None:
        stem = path.name.removesuffix(leading.SUFFIX)
        for exporter in exporters:
            if exporter is not leading:
                beside = path.with_name(stem + exporter.SUFFIX)
                exporter.write(beside, segmentation, settings[path])
        leading.write(path, segmentation, settings[path])

    return write
