"""What `medseg predict` writes of each scan: one file, or one for each of several formats."""

from collections.abc import Callable
from dataclasses import replace
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
    """Return the jobs, and the exporter of their outputs.

    That is the first format that medseg reads itself, so that formats may be added later without a
    second entry for each case; else the first of all.

    Raises:
        UsageError: The scans cannot go to `output`, or a folder would be called as a file is.
    """
    from medseg import export, formats
    from medseg.inference.cohort import plan_jobs

    if output is not None and not (export.by_ending(output) or formats.suffix_of(output)):
        require_folder(output)
    plans = [plan_jobs(scans, output, exporter.SUFFIX) for exporter in exporters]
    readable = [n for n, jobs in enumerate(plans) if formats.suffix_of(jobs[0].output)]
    first = readable[0] if readable else 0
    others = [jobs for n, jobs in enumerate(plans) if n != first]
    jobs = [
        replace(job, beside=tuple(jobs[n].output for jobs in others))
        for n, job in enumerate(plans[first])
    ]
    return jobs, exporters[first]


def writer(
    jobs: "list[Job]", leading: "Exporter", exporters: "list[Exporter]", choice: "Choice"
) -> "Callable[[Path, Segmentation], None]":
    """Return what writes a segmentation in every format, the file that tells of all others last.

    Raises:
        UsageError: A format needs what a scan does not have.
    """
    from medseg import export
    from medseg.inference.cohort import from_anywhere

    placed = [from_anywhere(job) for job in jobs]
    settings = {
        job.output: export.Settings(export.Reference(job.case.images, choice)) for job in placed
    }
    for given in settings.values():
        export.require_series(exporters, given)
    others = [exporter for exporter in exporters if exporter is not leading]
    beside = {job.output: list(zip(others, job.beside, strict=True)) for job in placed}

    def write(path: Path, segmentation: "Segmentation") -> None:
        given = settings[path.absolute()]
        for exporter, place in beside[path.absolute()]:
            exporter.write(place, segmentation, given)
        leading.write(path, segmentation, given)

    return write
