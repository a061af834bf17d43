"""`medseg predict`: a segmentation of each scan, on the scan's own grid."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from medseg.cli import result_files
from medseg.cli.channel_options import parsed
from medseg.cli.cohort_progress import listening
from medseg.cli.console import err, show
from medseg.errors import CasesFailedError, UsageError

if TYPE_CHECKING:
    from medseg.formats import Choice
    from medseg.inference.cohort_run import Outcome
    from medseg.inference.scans import Scan
    from medseg.task import Task

Device = Literal["auto", "cpu", "cuda"]


def predict(
    scans: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Scans, case folders, folders of these, or a data set.", show_default=False
        ),
    ] = None,
    model: Annotated[
        Path | None,
        typer.Option(help="Run folder, bundle, or name of a model; else the one there is."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="File or folder; else beside each scan.")
    ] = None,
    file_format: Annotated[
        str | None,
        typer.Option(
            "--format",
            help="nii.gz (the default); seg.nrrd or mrb for 3D Slicer; dicom-seg of a DICOM series;"
            " stl; as 'medseg export'. Several by commas.",
            show_default=False,
        ),
    ] = None,
    channel: Annotated[
        list[str] | None,
        typer.Option(help="One channel of a scan, as t1=FILE; --t1 FILE says the same."),
    ] = None,
    series: Annotated[
        str | None, typer.Option(help="Which DICOM series: its UID or (part of) its description.")
    ] = None,
    volume: Annotated[
        str | None, typer.Option(help="Which volume of a file with more axes, as 2 or 2,1.")
    ] = None,
    held_out: Annotated[
        Path | None,
        typer.Option(help="Segment the cases that this training run held out, with its model."),
    ] = None,
    device: Annotated[Device, typer.Option(help="Where to compute.")] = "auto",
    strict: Annotated[
        bool, typer.Option("--strict", help="Refuse scans unlike those the model was trained on.")
    ] = False,
    uncertainty: Annotated[
        bool,
        typer.Option("--uncertainty", help="Write entropy/SCAN_entropy.nii.gz too, from 0 to 1."),
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Do again what report.json has as done.")
    ] = False,
    json_progress: Annotated[
        bool, typer.Option("--json-progress", help="Print a JSON line per step.")
    ] = False,
    max_memory: Annotated[
        str | None,
        typer.Option(help="Most memory to take, as 8G; tiles are made to fit. Else what is free."),
    ] = None,
    ray: Annotated[
        str | None,
        typer.Option(help="Address of a Ray cluster, or local: several cases at once."),
    ] = None,
    plan: Annotated[
        bool, typer.Option("--plan", help="Say how much memory each scan needs, and end.")
    ] = False,
) -> None:
    """Segment scans with a trained network.

    With -o FOLDER, what was done is kept in FOLDER/report.json: volumes, quality, seconds, memory.
    A second run goes on where the first one stopped.
    """
    from medseg import export, model_list
    from medseg.cli.memory_table import memory_table
    from medseg.inference import cluster, cohort_run, memory_plan
    from medseg.inference.device import choose
    from medseg.inference.predict import load
    from medseg.inference.report import NAME, Report, described

    _require_one_source(scans, channel, held_out, output)
    choice, channels = _choice(series, volume), parsed(channel or [])
    bundle = model_list.choose(model or held_out)
    exporters = export.chosen(file_format, output, usual="nii.gz")
    found = _scans(scans, channels, held_out, bundle.task, series)
    jobs, leading = result_files.plan(found, output, exporters)
    write = result_files.writer(jobs, leading, exporters, choice)
    into_folder = output is not None and jobs[0].output.parent == output
    network = bundle.plan.network.name
    path = output / NAME if output is not None and into_folder else None
    report = Report(path, described(bundle))
    err.print(f"Model: {bundle.folder} (task {bundle.task.name}, {network})")
    if strict and bundle.experience is None:
        err.print("The model does not know what it was trained on: --strict compares nothing")
    limit = None if max_memory is None else memory_plan.parsed_bytes(max_memory)
    settings = cohort_run.Settings(choice, strict, uncertainty, overwrite, limit)
    if plan:
        show(memory_table(jobs, load(bundle, choose(device)), settings))
        return
    with listening(as_json=json_progress) as listener:
        common = (settings, report, listener)
        outcome = (
            cohort_run.run(jobs, load(bundle, choose(device)), *common, write=write)
            if ray is None
            else cluster.run(jobs, bundle, *common, write=write, address=ray, device=device)
        )
    _raise_failures(outcome)


def _raise_failures(outcome: "Outcome") -> None:
    failures, total = outcome.failures, outcome.done + outcome.skipped + len(outcome.failures)
    if failures and total == 1:
        raise failures[0].error
    if failures:
        raise CasesFailedError(
            f"{len(failures)} of {total} scans failed:\n"
            + "\n".join(f"  {failure.error}" for failure in failures)
            + "\nThe others are done",
            remedy="Mend these, and predict them again",
        )


def _require_one_source(
    scans: list[Path] | None, channels: list[str] | None, held_out: Path | None, out: Path | None
) -> None:
    """Refuse no scans at all, and scans named in two ways, before anything is loaded."""
    if held_out is not None:
        if scans or channels or out is None:
            raise UsageError(
                "--held-out takes its scans from the run",
                remedy="Leave the scans away, and name a folder for the results with -o",
            )
    elif channels and scans:
        raise UsageError(
            "scans were named with their channels and without",
            remedy="Name either each channel's file, or whole scans and folders",
        )
    elif not (channels or scans):
        raise UsageError("no scan was given", remedy="Name the scans, or folders of scans")


def _scans(
    scans: list[Path] | None,
    channels: dict[str, Path],
    held_out: Path | None,
    task: "Task",
    series: str | None,
) -> "list[Scan]":
    from medseg.inference.scans import Scan, by_channel, find
    from medseg.training.run_folder import RunFolder, read_split

    if held_out is not None:
        return [Scan(case) for case in read_split(RunFolder(held_out)).held_out]
    return [by_channel(channels, task)] if channels else find(scans or [], task, series=series)


def _choice(series: str | None, volume: str | None) -> "Choice":
    from medseg.formats import Choice

    try:
        numbers = None if volume is None else tuple(int(part) for part in volume.split(","))
    except ValueError as error:
        raise UsageError(
            f"--volume {volume} is no number", remedy="Count from 1, such as 2, or 2,1"
        ) from error
    return Choice(series, numbers)
