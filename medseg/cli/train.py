"""`medseg train`: a network from labelled scans."""

import math
import re
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Annotated, Final, Literal

import typer

from medseg.cli import durations, recognised
from medseg.cli.console import bar, err, out, show
from medseg.errors import OutputError, UsageError

if TYPE_CHECKING:
    from medseg import weights
    from medseg.data.folds import Split
    from medseg.recipe import Plan
    from medseg.survey.survey import Survey
    from medseg.training.callbacks import Report
    from medseg.training.fit import Outcome, Stage
    from medseg.training.run_folder import Request

Device = Literal["auto", "cpu", "cuda"]
ALL: Final = "all"
"""In place of a fold: each in turn, then the scores of all held-out cases together."""

TaskOption = Annotated[
    str | None,
    typer.Option(help="A name from 'medseg tasks' or a YAML file; else what fits --data."),
]
DataOption = Annotated[
    Path | None,
    typer.Option(help="The data as downloaded, or a CSV list; else $MEDSEG_DATA/TASK, ..."),
]
NetworkOption = Annotated[
    str | None, typer.Option(help="Network, see 'medseg networks'; else the recipe's.")
]
RecipeOption = Annotated[
    str | None,
    typer.Option(help="How to train: default, or a network: as its paper; else --network's."),
]
SplitOption = Annotated[
    str | None, typer.Option(help="Published split, or folds; else the data set's usual one.")
]
NumberingOption = Annotated[
    str | None, typer.Option(help="What label values mean where copies differ: cascade, ...")
]


def train(
    task: TaskOption = None,
    data: DataOption = None,
    out_folder: Annotated[
        Path | None, typer.Option("-o", "--out", help="Run folder; else runs/TASK-NETWORK-foldK.")
    ] = None,
    network: NetworkOption = None,
    recipe: RecipeOption = None,
    plan: Annotated[
        Path | None,
        typer.Option(help="Train by this plan: what 'medseg plan' wrote, perhaps changed."),
    ] = None,
    init: Annotated[
        list[Path] | None,
        typer.Option(
            help="Weights to begin with: a model of medseg, or a public checkpoint. Repeatable."
        ),
    ] = None,
    fold: Annotated[
        str | None,
        typer.Option(help="Which part of the split to hold out, of folds 0-4; or all in turn."),
    ] = None,
    split: SplitOption = None,
    numbering: NumberingOption = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Passes over the data.")] = None,
    max_time: Annotated[
        str | None, typer.Option(help="End after this time, such as 30m or 2h, set-up included.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Of everything random.")] = None,
    device: Annotated[Device | None, typer.Option(help="Where to compute; else auto.")] = None,
    devices: Annotated[
        int | None, typer.Option(min=1, help="Processes on each machine, one for each GPU.")
    ] = None,
    nodes: Annotated[
        int | None, typer.Option(min=1, help="Machines; start with torchrun or srun on each.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="Change recipe or plan: training.learning_rate=0.0003."),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run in --out as if never stopped.")
    ] = False,
) -> None:
    """Train a network on labelled scans."""
    from medseg.training import processes

    if processes.is_follower():  # the first of several processes speaks for all
        err.quiet = out.quiet = True
    if resume:
        what = (task, data, network, recipe, plan, init or None, split, numbering)
        given = (*what, fold, epochs, max_time, seed, device, devices, nodes, settings or None)
        _resume(out_folder, given=given)
        return
    every = fold == ALL
    held_out = 0 if every else _fold(fold)
    from medseg.training.fit import fit
    from medseg.training.run_folder import Request, RunFolder

    changes = (*(settings or ()), *((f"training.seed={seed}",) if seed is not None else ()))
    named, place, title = of_what(task, data)
    request = Request(
        task=named,
        data=str(place.resolve()),
        network=network,
        fold=held_out,
        epochs=epochs,
        max_seconds=durations.seconds(max_time) if max_time else None,
        device=device or "auto",
        settings=changes,
        recipe=recipe,
        init=tuple(str(place.resolve()) for place in init or ()),
        split=split,
        numbering=numbering,
        devices=devices or 1,
        nodes=nodes or 1,
        plan=None if plan is None else str(plan.resolve()),
        plan_text=_plan_text(plan, network, recipe),
    )
    part = "folds" if every else f"fold{held_out}"
    part = part if split in (None, "folds") else split
    name = network_of(request)
    place_of_run = out_folder or Path("runs") / f"{title}-{name}-{part}"
    if every:
        _cross_validate(request, place_of_run)
        return
    with Display() as display:
        outcome = fit(request, RunFolder(place_of_run), display)
    _show(outcome)


def _plan_text(plan: Path | None, network: str | None, recipe: str | None) -> str | None:
    """Read a plan that is trained by in place of a recipe."""
    if plan is None:
        return None
    if network is not None or recipe is not None:
        raise UsageError(
            "--plan says which network is trained and how",
            remedy="Leave out --network and --recipe, or change the plan",
        )
    try:
        return plan.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            "cannot be read as a plan",
            where=plan,
            remedy="Name the file that 'medseg plan' wrote, or the plan.yaml of a run",
        ) from error


def network_of(request: "Request") -> str:
    """Return which network will be trained, and say so if it is as its paper did.

    Raises:
        UsageError: The recipe or the plan, or a setting of it, is wrong.
    """
    from medseg import recipe as recipes
    from medseg.training import planning

    name = planning.network_of(request)
    if request.recipe is None and recipes.name_for(request.network) != recipes.SHARED:
        err.print(f"Trains as the paper of {name} did; --recipe default suits short runs.")
    return name


def of_what(task: str | None, data: Path | None) -> tuple[str, Path, str]:
    """Return the task as a run notes it, the data, and what to call the run after.

    Raises:
        UsageError: Neither is given, or there is no such task.
    """
    if task is None and data is None:
        raise UsageError(
            "neither --task nor --data is given",
            remedy="See 'medseg tasks' for the tasks, or name the folder of your data",
        )
    from medseg import task as tasks
    from medseg.data import layouts
    from medseg.training.run_folder import AUTO

    if task is None and data is not None:
        return AUTO, data, layouts.find(data).task.name
    chosen = tasks.read(task or AUTO)
    named = chosen.name if chosen.name == task else str(Path(task or AUTO).resolve())
    return named, data or layouts.find_data(chosen), chosen.name


def _fold(given: str | None) -> int:
    try:
        return int(given or 0)
    except ValueError as error:
        raise UsageError(
            f"there is no fold {given!r}", remedy=f"Give a number from 0, or {ALL!r}"
        ) from error


def _resume(out_folder: Path | None, *, given: tuple[object, ...]) -> None:
    from medseg.training import cross_validation, fit
    from medseg.training.run_folder import RunFolder

    if out_folder is None or any(value is not None for value in given):
        raise UsageError(
            "--resume goes on with what the run was asked for",
            remedy="Name the run folder with --out and nothing else",
        )
    if cross_validation.is_one(out_folder):
        _cross_validate(None, out_folder)
        return
    with Display() as display:
        outcome = fit.resume(RunFolder(out_folder), display)
    _show(outcome)


def _cross_validate(request: "Request | None", folder: Path) -> None:
    """Begin a cross-validation, or go on with one, and show the scores of all folds."""
    from medseg.cli.cohort_progress import listening
    from medseg.evaluation import score_files
    from medseg.training import cross_validation, processes

    with Display() as display:
        if request is None:
            trained = cross_validation.resume(folder, display)
        else:
            trained = cross_validation.begin(request, folder, display)
    if not trained.finished:
        out.print(f"Stopped and saved. Go on with: medseg train --resume --out {quoted(folder)}")
        raise typer.Exit(130)
    if processes.is_follower():  # the first process predicts and scores for all
        return
    with listening(as_json=False) as predicting:
        scores = cross_validation.score(trained, folder, predicting)
    show(score_files.means(scores))
    out.print(f"{len(trained.bundles)} models, and the scores of all they held out: {folder}")


def _show(outcome: "Outcome") -> None:
    from medseg import model_list
    from medseg.training import processes

    run = outcome.bundle.folder.parent
    try:
        if not processes.is_follower():
            model_list.add(outcome.bundle)
    except OutputError as error:  # the model is there all the same
        err.print(f"The model could not be put on this machine's list: {error}")
    if not outcome.finished:
        out.print(f"Stopped and saved. Go on with: medseg train --resume --out {quoted(run)}")
        raise typer.Exit(130)
    dice = "" if math.isnan(outcome.dice) else f", validation Dice {outcome.dice:.3f}"
    out.print(f"Trained{dice}: {run}")
    out.print(f"Segment a scan with: medseg predict SCAN --model {quoted(run)}")


def quoted(path: Path) -> str:
    """Return a path as a shell takes it."""
    return f'"{path}"' if re.search(r"[^\w./\\:~-]", str(path)) else str(path)


def summary(plan: "Plan") -> str:
    """Say in one line what a plan is."""
    options = ", ".join(f"{name} {value}" for name, value in plan.network.options.items())
    patch = "x".join(map(str, plan.patch))
    spacing = "x".join(f"{length:g}" for length in plan.spacing_mm)
    named = f"{plan.network.name} ({options})"
    return f"{named}, patch {patch} at {spacing} mm, batch {plan.batch}, {plan.precision}"


class Display:
    """Shows how a run is getting on: a bar on a terminal, a line per epoch elsewhere too."""

    def __init__(self) -> None:
        self._context = bar(counted=False)
        self._cases_done: dict[str, int] = {}

    def __enter__(self) -> "Display":
        self._progress = self._context.__enter__()
        self._bar = self._progress.add_task("Starting", total=1.0)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._context.__exit__(kind, error, traceback)

    def on_fold(self, fold: int, total: int) -> None:
        """Say which run of a cross-validation begins."""
        self._cases_done.clear()
        err.print(f"Fold {fold} of {total}")

    def on_case(self, stage: "Stage", total: int) -> None:
        """Count a case that was checked or prepared."""
        done = self._cases_done[stage] = self._cases_done.get(stage, 0) + 1
        self._progress.update(
            self._bar,
            description=f"{stage.capitalize()} case {done} of {total}",
            completed=done / total,
        )

    def on_survey(self, survey: "Survey") -> None:
        """Say what was recognised, what is odd, and what else should be known."""
        recognised.tell(survey, err)

    def on_plan(self, plan: "Plan", split: "Split") -> None:
        """Say what will be trained on what."""
        err.print(
            f"{summary(plan)}; {len(split.training)} cases to train on,"
            + (f" {len(split.watched)} to watch it with," if split.watched else "")
            + f" {len(split.held_out)} held out (split {split.name})"
        )

    def on_interrupt(self) -> None:
        """Say that Ctrl-C was heard."""
        err.print("Stopping after this step; press Ctrl-C again to stop at once, unsaved.")

    def on_concern(self, said: str) -> None:
        """Say what may go wrong with the plan, or was changed in it."""
        err.print(said)

    def on_init(self, report: "weights.Report") -> None:
        """Say what became of the weights to begin with."""
        err.print(f"Begins with {report}", highlight=False, markup=False)

    def on_smaller(self, said: str) -> None:
        """Say that memory ran out."""
        err.print(f"The memory does not suffice; training goes on with {said}")

    def on_step(self, report: "Report") -> None:
        """Show loss, Dice and the time left."""
        dice = "-" if math.isnan(report.dice) else f"{report.dice:.3f}"
        self._progress.update(
            self._bar,
            description=f"Training, loss {report.loss:.3f}, Dice {dice}",
            completed=report.fraction,
        )
        if report.epoch_ended:
            err.print(
                f"{report.fraction:4.0%}  step {report.step}  loss {report.loss:.3f}"
                f"  Dice {dice}  {durations.shown(report.seconds_left)} left"
            )
