"""`medseg predict`: a segmentation of each scan, on the scan's own grid."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from medseg.cli.console import bar, err, out
from medseg.errors import CasesFailedError, UsageError

if TYPE_CHECKING:
    from medseg.inference.cohort import Failure, Job
    from medseg.inference.predict import Predictor
    from medseg.task import Task

Device = Literal["auto", "cpu", "cuda"]
Format = Literal["nii.gz", "seg.nrrd"]


def predict(
    scans: Annotated[
        list[Path] | None,
        typer.Argument(help="Scans, folders of scans, or a data set.", show_default=False),
    ] = None,
    model: Annotated[
        Path | None,
        typer.Option(help="Run folder or bundle; else the one model on this machine."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="File or folder; else beside each scan.")
    ] = None,
    file_format: Annotated[
        Format, typer.Option("--format", help="nii.gz, or seg.nrrd for 3D Slicer.")
    ] = "nii.gz",
    held_out: Annotated[
        Path | None,
        typer.Option(help="Segment the cases that this training run held out, with its model."),
    ] = None,
    device: Annotated[Device, typer.Option(help="Where to compute.")] = "auto",
) -> None:
    """Segment scans with a trained network."""
    from medseg import model_list
    from medseg.inference import cohort, predict
    from medseg.inference.device import choose

    suffix = f".{file_format}"
    if output is not None:
        suffix = next((s for s in (".nii.gz", ".seg.nrrd") if output.name.endswith(s)), suffix)
    inputs = _scans(scans, output, held_out)
    bundle = model_list.choose(model or held_out)
    if held_out is not None and output is not None:
        jobs = _held_out_jobs(held_out, bundle.task, output, suffix)
    else:
        jobs = cohort.plan_jobs(inputs, output, suffix, bundle.task)
    predictor = predict.load(bundle, choose(device))
    err.print(f"Model: {bundle.folder} (task {bundle.task.name}, {bundle.plan.network.name})")
    failures = []
    with bar(counted=True) as progress:
        shown = progress.add_task("Predicting", total=len(jobs))
        for result in cohort.run(jobs, lambda job: _segment(job, predictor)):
            progress.advance(shown)
            failures += _told(result, alone=len(jobs) == 1)
    if failures:
        raise CasesFailedError(
            f"{len(failures)} of {len(jobs)} scans failed:\n"
            + "\n".join(f"  {failure.error}" for failure in failures)
            + "\nThe others are done",
            remedy="Mend these, and predict them again",
        )


def _scans(scans: list[Path] | None, output: Path | None, held_out: Path | None) -> list[Path]:
    if held_out is not None:
        if scans or output is None:
            raise UsageError(
                "--held-out takes its scans from the run",
                remedy="Leave the scans away, and name a folder for the results with -o",
            )
        return []
    if not scans:
        raise UsageError("no scan was given", remedy="Name the scans, or folders of scans")
    return scans


def _held_out_jobs(held_out: Path, task: "Task", output: Path, suffix: str) -> "list[Job]":
    from medseg.inference.cohort import ENDING, Job
    from medseg.training.run_folder import RunFolder, read_split

    return [
        Job(case.images[0], output / f"{case.name}{ENDING}{suffix}", case, task)
        for case in read_split(RunFolder(held_out)).held_out
    ]


def _segment(job: "Job", predictor: "Predictor") -> None:
    from medseg import export
    from medseg.data.cases import Case, read_image
    from medseg.inference.predict import predict

    task = predictor.bundle.task
    case = job.case or Case(job.image.name, (job.image,))
    volume = read_image(case, task)
    if not volume.grid.is_orthonormal:
        err.print(f"{job.image}: its axes are not perpendicular; its grid is used as it is")
    segmentation = predict(predictor, volume)
    if job.task is not None:
        segmentation = segmentation.with_values_of(job.task)
    export.write(job.output, segmentation)
    sizes = (f"{label} {segmentation.volume_ml(label):.2f} mL" for label in task.labels)
    err.print(f"{case.name}: {', '.join(sizes)}")


def _told(result: "Failure | Job", *, alone: bool) -> "list[Failure]":
    from medseg.inference.cohort import Failure

    if isinstance(result, Failure):
        if alone:
            raise result.error
        return [result]
    out.print(str(result.output))
    return []
