"""`medseg predict`: a segmentation of each scan, on the scan's own grid."""

from functools import partial
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
    from medseg.model import Model
    from medseg.task import Task

Device = Literal["auto", "cpu", "cuda"]
Precision = Literal["auto", "float32", "bfloat16"]


def predict(
    scans: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Scans, case folders, folders of these, or a data set.", show_default=False
        ),
    ] = None,
    model: Annotated[
        list[Path] | None,
        typer.Option(
            help="Run folder, bundle, or name of a model; else the one there is. Given several"
            " times, probabilities are averaged."
        ),
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
    precision: Annotated[
        Precision,
        typer.Option(help="What to compute in; auto: bfloat16 where it is fast and agrees."),
    ] = "auto",
    tta: Annotated[
        bool, typer.Option("--tta", help="Predict mirrored too, where the task allows it.")
    ] = False,
    quick: Annotated[
        bool, typer.Option("--quick", help="Let patches overlap less: faster, less exact.")
    ] = False,
    overlap: Annotated[
        float | None, typer.Option(help="Part of a patch that the next one covers too, as 0.5.")
    ] = None,
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
        typer.Option(
            help="Most memory to take, as 8G, else what is free; tiles are made to fit. Of a GPU's"
            " memory, what is free there. With --ray it is for each process."
        ),
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
    from medseg import export
    from medseg.cli.memory_table import memory_table
    from medseg.inference import cluster, cohort, cohort_run, memory_plan
    from medseg.inference.device import choose
    from medseg.inference.options import Options
    from medseg.inference.predict import load
    from medseg.inference.report import NAME, Report, described

    _require_one_source(scans, channel, held_out, output)
    choice, channels = _choice(series, volume), parsed(channel or [])
    bundle, *others = _models(model, held_out)
    exporters = export.chosen(file_format, output, usual="nii.gz")
    found = _scans(scans, channels, held_out, bundle.task, series)
    jobs, leading = result_files.plan(found, output, exporters)
    write = result_files.writer(jobs, leading, exporters, choice)
    folder = output if output and jobs[0].output.parent == output else None
    report = Report(folder and folder / NAME, described(bundle))
    options = Options(precision, tta, overlap, quick)
    predictor = load(bundle, choose(device), options, others=tuple(others))
    for one in predictor.models:
        err.print(f"Model: {one.folder} (task {one.task.name}, {one.plan.network.name})")
        for remark in one.remarks:
            err.print(f"  {remark}")
    if tta and not bundle.mirror_axes:
        err.print(f"Task {bundle.task.name} allows no mirroring: --tta changes nothing")
    if strict and bundle.experience is None:
        err.print("The model does not know what it was trained on: --strict compares nothing")
    limit = memory_plan.parsed_bytes(max_memory) if max_memory else None
    settings = cohort.Settings(choice, strict, uncertainty, overwrite, limit)
    if plan:
        return show(memory_table(jobs, predictor, settings))
    run = cohort_run.run if ray is None else partial(cluster.run, address=ray, device=device)
    with listening(as_json=json_progress) as listener:
        return _raise_failures(run(jobs, predictor, settings, report, listener, write=write))


def _models(named: list[Path] | None, held_out: Path | None) -> "list[Model]":
    from medseg import model_list

    if named:
        return [model_list.choose(one) for one in named]
    chosen = model_list.choose(held_out)
    if model_list.is_shipped(chosen):
        err.print(
            f"You have no model of your own: uses {chosen.folder.name}, which comes with medseg;"
            f" its limits: medseg models show {chosen.folder.name}"
        )
    return [chosen]


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
