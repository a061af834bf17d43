"""Cross-validation: a run for each fold, and the scores of all held-out cases together.

| In the folder | Is |
|---|---|
| `fold0/`, `fold1/`, ... | a run each, with `held_out/`: the predictions of the cases it held out |
| `scores/` | the scores of all those predictions together, as `medseg evaluate` writes them |
"""

import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Protocol, runtime_checkable

from medseg import export
from medseg import task as tasks
from medseg.bundle import Bundle
from medseg.data import folds, layouts
from medseg.errors import CasesFailedError, UsageError
from medseg.evaluation import clinical_numbers, evaluate, score_files
from medseg.evaluation.score import DEFAULT, Score, Scores
from medseg.inference import cohort, cohort_run, listening, predict
from medseg.inference.predict import Predictor
from medseg.inference.report import NAME, Report, described
from medseg.inference.scans import Scan
from medseg.training import fit
from medseg.training.planning import device_of
from medseg.training.run_folder import (
    AUTO,
    Request,
    RunFolder,
    read_request,
    read_split,
)

HELD_OUT: Final = "held_out"


@runtime_checkable
class Listener(fit.Listener, Protocol):
    """Whoever wants to know how the folds are getting on."""

    def on_fold(self, fold: int, total: int) -> None:
        """Take note that the run of `fold`, of `total`, begins or goes on."""


@dataclass(frozen=True)
class Trained:
    """The folds that were trained.

    Attributes:
        request: What they were asked for; its own fold does not count.
        runs: Their run folders.
        bundles: Their models.
        finished: Whether all are; else the last one was interrupted.
    """

    request: Request
    runs: tuple[RunFolder, ...]
    bundles: tuple[Bundle, ...]
    finished: bool


def is_one(folder: Path) -> bool:
    """Tell whether a folder holds a cross-validation."""
    return RunFolder(folder / "fold0").request.is_file()


def begin(request: Request, folder: Path, listener: Listener) -> Trained:
    """Train each fold of the split.

    Args:
        request: What every fold is asked for; its own fold does not count.
        folder: A new folder.
        listener: Of the training.

    Raises:
        UsageError: There is something in the folder already, or a setting is wrong.
        MedsegError: As in `fit.fit`.
    """
    if is_one(folder):
        raise UsageError(
            "there is a cross-validation in this folder already",
            where=folder,
            remedy="Go on with it by --resume, or choose another folder with --out",
        )
    return _train(request, folder, listener)


def resume(folder: Path, listener: Listener) -> Trained:
    """Go on with an interrupted cross-validation; what is done is not done again.

    Raises:
        UsageError: There is none in the folder.
    """
    return _train(read_request(RunFolder(folder / "fold0")), folder, listener)


def score(trained: Trained, folder: Path, listener: listening.Listener) -> Scores:
    """Predict what each fold held out, if that is not done yet, and score all of it together.

    Raises:
        CasesFailedError: A held-out case cannot be predicted.
        DataError: A reference is missing or was changed.
    """
    device = device_of(trained.request)
    for run, bundle in zip(trained.runs, trained.bundles, strict=True):
        _predict(run, predict.load(bundle, device), listener)
    data = Path(trained.request.data)
    scores = _score(trained.runs, data)
    task = tasks.read(trained.runs[0].task)
    own_files = data if clinical_numbers.needs_data(task) else None
    numbers = clinical_numbers.measure(scores, task, own_files)
    score_files.write_all({scores.convention: scores}, numbers, folder / "scores")
    return scores


def _train(request: Request, folder: Path, listener: Listener) -> Trained:
    total = _folds(request)
    prepared = folder / "cache"
    runs = tuple(RunFolder(folder / f"fold{n}", shared_cache=prepared) for n in range(total))
    bundles: list[Bundle] = []
    for fold, run in enumerate(runs):
        listener.on_fold(fold, total)
        begun = run.request.is_file()
        asked = replace(request, fold=fold)
        outcome = fit.resume(run, listener) if begun else fit.fit(asked, run, listener)
        bundles.append(outcome.bundle)
        if not outcome.finished:
            return Trained(request, runs[: fold + 1], tuple(bundles), finished=False)
    shutil.rmtree(prepared, ignore_errors=True)
    return Trained(request, runs, tuple(bundles), finished=True)


def _folds(request: Request) -> int:
    asked = None if request.task == AUTO else tasks.read(request.task)
    data_set = layouts.find(Path(request.data), asked, request.numbering).data_set
    cases = layouts.require_labelled(data_set)
    return folds.count(cases, data_set.splits, name=request.split)


def _predict(run: RunFolder, predictor: Predictor, listener: listening.Listener) -> None:
    """Predict the cases that a run held out, into its folder."""
    out = run.path / HELD_OUT
    scans = [Scan(case) for case in read_split(run).held_out]
    jobs = cohort.plan_jobs(scans, out, ".nii.gz")
    report = Report(out / NAME, described(predictor.bundle))
    settings = cohort.Settings()
    outcome = cohort_run.run(jobs, predictor, settings, report, listener, write=export.write)
    if outcome.failures:
        count, first = len(outcome.failures), outcome.failures[0].error
        raise CasesFailedError(
            f"{count} of {len(jobs)} held-out cases failed, the first with: {first}",
            remedy="Mend these, and go on with --resume",
        )


def _score(runs: tuple[RunFolder, ...], data: Path) -> Scores:
    rows: list[Score] = []
    for run in runs:
        cases = read_split(run).held_out
        known = evaluate.of_cases(cases, tasks.read(run.task), data)
        names = [case.name for case in cases]
        out = run.path / HELD_OUT
        scored = evaluate.side_by_side(known, out, conventions=[DEFAULT], cases=names)[DEFAULT]
        rows += scored.rows
    return Scores(tuple(rows), (), DEFAULT)
