"""A cohort on several machines, or in several processes of one, through Ray.

Every case is a task of its own. A task that dies with its process is begun anew, on another machine
if there is one; its files appear whole or not at all, so that none is damaged and none there twice.
The report is written by the program that was called, and by no other.
"""

import functools
import os
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from medseg import model_list
from medseg.errors import MedsegError, UsageError
from medseg.inference import cohort_run
from medseg.inference import device as devices
from medseg.inference.cohort import Failure, Job
from medseg.inference.cohort_run import Clock, Listener, Outcome, Settings, Write
from medseg.inference.device import DeviceChoice
from medseg.inference.options import Options
from medseg.inference.predict import Predictor, load
from medseg.inference.reduction import Reducing
from medseg.inference.report import Entry, Report

LOCAL: Final = "local"
"""The address that starts processes on this machine."""
RETRIES: Final = 3
"""How often a case is begun anew whose process died."""


def run(
    jobs: list[Job],
    predictor: Predictor,
    settings: Settings,
    report: Report,
    listener: Listener,
    *,
    write: Write,
    address: str,
    device: DeviceChoice = "auto",
) -> Outcome:
    """Segment every scan that is not done yet, several at once.

    All machines need medseg and the same paths to scans, model and results.

    Args:
        jobs: The scans and where their segmentations go.
        predictor: The models; every process reads them from their folders.
        settings: What holds for all.
        report: What was done, and what is added to.
        listener: Is told of what was done.
        write: Writes a segmentation whole or not at all.
        address: Of a Ray cluster, or `local`.
        device: Where to compute.

    Raises:
        UsageError: Ray is not installed, or there is no cluster at that address.
        OutputError: The report cannot be written.
    """
    expected, waiting = cohort_run.waiting(jobs, predictor, settings, report)
    listener.on_start(len(jobs), len(jobs) - len(waiting))
    ray, clock = _connected(address), Clock(len(waiting))
    failures = []
    try:
        gpus = 0 if device == "cpu" else min(1, int(ray.cluster_resources().get("GPU", 0)))
        task = ray.remote(max_retries=RETRIES, num_cpus=1, num_gpus=gpus)(_segmented)
        folders = tuple(model.folder.absolute() for model in predictor.models)
        common = ray.put((folders, device, predictor.options, settings, write))
        pending = {task.remote(from_anywhere(job), expected[job], common): job for job in waiting}
        while pending:
            ended, _ = ray.wait(list(pending), num_returns=1)
            job = pending.pop(ended[0])
            result = _result(ray, job, ended[0])
            if isinstance(result, Failure):
                failures.append(result)
                report.record(cohort_run.failed(result, expected[job]))
                listener.on_failure(result, clock.seconds_left())
            else:
                report.record(result)
                listener.on_done(job, result, clock.seconds_left())
    finally:
        ray.shutdown()  # ends the tasks that are left
    return Outcome(len(waiting) - len(failures), len(jobs) - len(waiting), failures)


def from_anywhere(job: Job) -> Job:
    """Return the job with paths that do not depend on the folder in which a process runs."""
    case = job.scan.case
    images = tuple(image.absolute() for image in case.images)
    label = None if case.label is None else case.label.absolute()
    scan = replace(job.scan, case=replace(case, images=images, label=label))
    return Job(scan, job.output.absolute())


def _connected(address: str) -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is reported to anyone
    try:
        import ray
    except ModuleNotFoundError as error:
        raise UsageError(
            "--ray needs Ray, which is not installed",
            remedy="Install it with 'pip install medseg[ray]'",
        ) from error
    local = {"include_dashboard": False} if address == LOCAL else {}
    try:
        ray.init(address=address, log_to_driver=False, logging_level="error", **local)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise UsageError(
            f"there is no Ray cluster at {address}: {' '.join(str(error).split()):.200}",
            remedy="Start one with 'ray start --head' and name its address, or use --ray local",
        ) from error
    return ray


Common = tuple[tuple[Path, ...], DeviceChoice, Options, Settings, Write]


def _segmented(job: Job, expected: Entry, common: Common) -> Entry | Failure:
    """Do one case, in a process of Ray."""
    folders, device, options, settings, write = common
    reducing = _loaded(folders, device, options)
    return cohort_run.run_one(job, reducing, settings, expected, write=write)


@functools.lru_cache(maxsize=1)
def _loaded(folders: tuple[Path, ...], device: DeviceChoice, options: Options) -> Reducing:
    """Return the models for all cases of a process, which begin with what fitted before."""
    first, *others = (model_list.choose(folder) for folder in folders)
    loaded = load(first, devices.choose(device), options, others=tuple(others))
    return Reducing(loaded, lambda _: None)


def _result(ray: Any, job: Job, ended: Any) -> Entry | Failure:
    try:
        result: Entry | Failure = ray.get(ended)
    except ray.exceptions.RayTaskError as error:
        cause = error.cause
        if isinstance(cause, MedsegError):
            return Failure(job, cause)
        return Failure(job, _ended(job, type(cause).__name__), unforeseen=type(cause).__name__)
    except ray.exceptions.RayError as error:
        return Failure(job, _ended(job, type(error).__name__), unforeseen=type(error).__name__)
    return result


def _ended(job: Job, kind: str) -> MedsegError:
    return MedsegError(
        f"was begun {RETRIES + 1} times at most, and its process failed with {kind}",
        where=job.image,
        remedy="If there is memory enough on every machine, predict it alone to see why",
    )
