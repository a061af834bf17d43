"""A cohort on several machines, or in several processes of one, through Ray.

Every case is a task of its own. A task that dies with its process is begun anew, on another machine
if there is one; its files appear whole or not at all, so that none is damaged and none there twice.
The report is written by the program that was called, and by no other.
"""

import functools
import os
import pickle
import platform
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

from medseg import bundle as bundles
from medseg.errors import MedsegError, ModelError, UsageError
from medseg.inference import cohort_run, entries
from medseg.inference import device as devices
from medseg.inference.cohort import Failure, Job, Settings, from_anywhere
from medseg.inference.cohort_run import Outcome, Write
from medseg.inference.device import DeviceChoice
from medseg.inference.listening import Clock, Listener
from medseg.inference.options import Options
from medseg.inference.precision import Precision
from medseg.inference.predict import Predictor, load
from medseg.inference.reduction import Reducing
from medseg.inference.report import Entry, Report
from medseg.model import Model
from medseg.nnunet_bundle import NnunetBundle

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
        UsageError: Ray is not installed, there is no cluster at that address, or another run writes
            into the same folder.
        OutputError: The report cannot be written.
    """
    with report.alone():
        expected, waiting = cohort_run.waiting(jobs, predictor, settings, report)
        listener.on_start(len(jobs), len(jobs) - len(waiting))
        known = cohort_run.settled_before(expected, settings, report)
        ray, clock, failures = _connected(address), Clock(len(waiting)), []
        try:
            common = _Common(Sent.of(predictor, device, known), settings, write)
            for job, result in _ended_ones(ray, deque(waiting), expected, common):
                if isinstance(result, Failure):
                    failures.append(result)
                    report.record(entries.failed(result, expected[job]))
                    listener.on_failure(result, clock.seconds_left())
                else:
                    report.record(result)
                    listener.on_done(job, result, clock.seconds_left())
        finally:
            ray.shutdown()  # ends the tasks that are left
    return Outcome(len(waiting) - len(failures), len(jobs) - len(waiting), failures)


@dataclass(frozen=True)
class Sent:
    """A predictor as every process is to have it.

    Attributes:
        models: What is known of the models, with paths that do not depend on a folder.
        hashes: Theirs, as the caller has them.
        device: Where to compute.
        options: How they are applied.
        settled: What they compute in, if that is settled.
    """

    models: tuple[Model, ...]
    hashes: tuple[str, ...]
    device: DeviceChoice
    options: Options
    settled: dict[int, Precision]

    @classmethod
    def of(
        cls, predictor: Predictor, device: DeviceChoice, settled: dict[int, Precision]
    ) -> "Sent":
        """Describe a predictor."""
        models = tuple(_absolute(model) for model in predictor.models)
        hashes = tuple(model.hash for model in predictor.models)
        return cls(models, hashes, device, predictor.options, settled)

    @property
    def is_settled(self) -> bool:
        """Whether all processes will compute in the same."""
        return self.options.precision != "auto" or bool(self.settled)


@dataclass(frozen=True)
class _Common:
    """What is the same for all cases."""

    sent: Sent
    settings: Settings
    write: Write


def _ended_ones(
    ray: Any, waiting: deque[Job], expected: dict[Job, Entry], common: _Common
) -> Iterator[tuple[Job, Entry | Failure]]:
    """Yield each case when it has ended; one alone until it is settled what all compute in."""
    resources = ray.cluster_resources()
    gpus = 0 if common.sent.device == "cpu" else min(1, int(resources.get("GPU", 0)))
    task = ray.remote(max_retries=RETRIES, num_cpus=1, num_gpus=gpus)(_segmented)
    given = ray.put(_packed(common))
    pending: dict[Any, Job] = {}
    while waiting or pending:
        while waiting and (common.sent.is_settled or not pending):
            job = waiting.popleft()
            pending[task.remote(from_anywhere(job), expected[job], given)] = job
        ended, _ = ray.wait(list(pending), num_returns=1)
        job = pending.pop(ended[0])
        result = _result(ray, job, ended[0])
        yield job, result
        if isinstance(result, Entry) and not common.sent.is_settled:
            found = entries.precisions_in(result.precisions)
            common = replace(common, sent=replace(common.sent, settled=found))
            given = ray.put(_packed(common))


def _absolute(model: Model) -> Model:
    if isinstance(model, NnunetBundle):
        checkpoints = tuple(path.absolute() for path in model.checkpoints)
        return replace(model, folder=model.folder.absolute(), checkpoints=checkpoints)
    return replace(model, folder=model.folder.absolute())


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


Packed = tuple[bytes, Settings, Write]


def _packed(common: _Common) -> Packed:
    return pickle.dumps(common.sent), common.settings, common.write


def _segmented(job: Job, expected: Entry, given: Packed) -> Entry | Failure:
    """Do one case, in a process of Ray."""
    sent, settings, write = given
    return cohort_run.run_one(job, _loaded(sent), settings, expected, write=write)


@functools.lru_cache(maxsize=1)
def _loaded(packed: bytes) -> Reducing:
    """Return the models for all cases of a process, which begin with what fitted before."""
    sent: Sent = pickle.loads(packed)  # this program packed it
    return Reducing(loaded(sent), lambda _: None)


def loaded(sent: Sent) -> Predictor:
    """Load in this process what the caller has.

    Raises:
        ModelError: A model is missing or another one here.
    """
    first, *others = (
        _same(model, expected) for model, expected in zip(sent.models, sent.hashes, strict=True)
    )
    predictor = load(first, devices.choose(sent.device), sent.options, others=tuple(others))
    predictor.settle_as(sent.settled)
    return predictor


def _same(model: Model, expected: str) -> Model:
    """Return the model with the files that lie here, if they are those of the caller."""
    here = platform.node()
    try:
        own = model if isinstance(model, NnunetBundle) else bundles.read(model.folder)
        found = own.hash
    except OSError as error:
        raise ModelError(
            f"cannot be read on {here}: {(error.strerror or str(error)).lower()}",
            where=model.folder,
            remedy="Let every machine have the model at the same place",
        ) from error
    if found != expected:
        raise ModelError(
            f"is another model on {here}: its hash is {found[:8]}, not {expected[:8]}",
            where=model.folder,
            remedy="Let every machine have the same model there, and predict again",
        )
    return own


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
