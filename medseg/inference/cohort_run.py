"""A cohort from beginning to end, or from where it stopped: read, segment, judge, write, report."""

import itertools
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final, Literal, Protocol, runtime_checkable

import torch

from medseg import files, memory
from medseg.data.cases import read_image
from medseg.data.description import describe_labels, describe_scan
from medseg.data.preprocessing import Measured
from medseg.errors import ImageError
from medseg.formats import ANY, Choice, nifti, stem
from medseg.inference import memory_plan, pipeline
from medseg.inference.cohort import Failure, Job
from medseg.inference.familiarity import unfamiliar
from medseg.inference.memory_plan import Budget, ScanSize
from medseg.inference.pipeline import Stages
from medseg.inference.predict import Predictor, predict_measured
from medseg.inference.quality import assess
from medseg.inference.reduction import Reducing
from medseg.inference.report import Entry, Report, state_of
from medseg.inference.scans import RESULT
from medseg.segmentation import Segmentation
from medseg.volume import Volume

Step = Literal["reading", "segmenting", "writing"]
Write = Callable[[Path, Segmentation], None]
ENTROPY: Final = "entropy"
"""Folder beside the segmentations, so that no map is taken for one of them or for a scan."""


@dataclass(frozen=True)
class Settings:
    """What a user decides for a whole cohort.

    Attributes:
        choice: Which image is meant where a file or folder holds several.
        strict: Whether a scan outside the model's experience is refused.
        uncertainty: Whether the entropy is written beside the segmentation.
        overwrite: Whether what is done already is done again.
        max_memory: Bytes that the program may take; None: what is free.
        overlap: Whether the next scan is read, and the last result written, while one is segmented.
    """

    choice: Choice = ANY
    strict: bool = False
    uncertainty: bool = False
    overwrite: bool = False
    max_memory: int | None = None
    overlap: bool = True


@runtime_checkable
class Listener(Protocol):
    """Whoever wants to know how a cohort is getting on; it is told from several threads."""

    def on_start(self, total: int, skipped: int) -> None:
        """Take note that of `total` cases `skipped` are done already."""

    def on_step(self, job: Job, step: Step) -> None:
        """Take note of what is being done now."""

    def on_done(self, job: Job, entry: Entry, seconds_left: float) -> None:
        """Take note of a result, and of about how long the others will take."""

    def on_failure(self, failure: Failure, seconds_left: float) -> None:
        """Take note of a case that cannot be segmented."""

    def on_remark(self, text: str) -> None:
        """Take note of something that holds for all cases from now on."""


@dataclass(frozen=True)
class Outcome:
    """What became of a cohort's cases."""

    done: int
    skipped: int
    failures: list[Failure]


def run(
    jobs: list[Job],
    predictor: Predictor,
    settings: Settings,
    report: Report,
    listener: Listener,
    *,
    write: Write,
) -> Outcome:
    """Segment every scan that is not done yet; a bad one does not stop the others.

    Args:
        jobs: The scans and where their segmentations go.
        predictor: The model.
        settings: What holds for all.
        report: What was done, and what is added to.
        listener: Is told of every step.
        write: Writes a segmentation whole or not at all, in the format its name asks for.

    Raises:
        OutputError: The report cannot be written.
    """
    expected, left = waiting(jobs, predictor, settings, report)
    listener.on_start(len(jobs), len(jobs) - len(left))
    clock = Clock(len(left))
    reducing = Reducing(predictor, listener.on_remark)
    there = memory_plan.budget(
        predictor,
        settings.max_memory,
        measure=settings.max_memory is not None,
        keep_entropy=settings.uncertainty,
    )
    work = _Work(reducing, settings, expected, report, listener, clock, write, there)
    stages = Stages(work.read, work.segment, work.finish)
    failures = []
    overlap = settings.overlap and _all_fit(left, predictor, there)
    for result in pipeline.run(left, stages, overlap=overlap):
        if isinstance(result, Failure):
            failures.append(result)
            report.record(failed(result, expected[result.job]))
            listener.on_failure(result, clock.seconds_left())
    return Outcome(len(left) - len(failures), len(jobs) - len(left), failures)


def waiting(
    jobs: list[Job], predictor: Predictor, settings: Settings, report: Report
) -> tuple[dict[Job, Entry], list[Job]]:
    """Return what each job's entry begins with, and the jobs that are not done yet."""
    expected = {job: _expected(job, predictor, settings) for job in jobs}
    redo = settings.overwrite
    return expected, [job for job in jobs if redo or not report.is_done(expected[job])]


def run_one(
    job: Job, reducing: Reducing, settings: Settings, expected: Entry, *, write: Write
) -> Entry | Failure:
    """Segment one scan, and return what is reported of it; nobody is told of the steps."""
    report, silent, clock = Report(None, {}), _Silent(), Clock(1)
    there = memory_plan.budget(
        reducing.predictor,
        settings.max_memory,
        measure=settings.max_memory is not None,
        keep_entropy=settings.uncertainty,
    )
    work = _Work(reducing, settings, {job: expected}, report, silent, clock, write, there)
    stages = Stages(work.read, work.segment, work.finish)
    (result,) = pipeline.run([job], stages, overlap=False)
    return result if isinstance(result, Failure) else Entry(**report.entries[expected.output])


class _Silent:
    """Tells nobody."""

    def on_start(self, total: int, skipped: int) -> None:
        """Say nothing."""

    def on_step(self, job: Job, step: Step) -> None:
        """Say nothing."""

    def on_done(self, job: Job, entry: Entry, seconds_left: float) -> None:
        """Say nothing."""

    def on_failure(self, failure: Failure, seconds_left: float) -> None:
        """Say nothing."""

    def on_remark(self, text: str) -> None:
        """Say nothing."""


def sizes(job: Job) -> list[ScanSize]:
    """Return the size of a scan as far as the headers of its files tell it, else nothing."""
    found = [memory_plan.size_in_file(image) for image in job.case.images]
    known = [size for size in found if size is not None]
    if not known or len(known) < len(found):
        return []
    return [replace(known[0], channels=sum(size.channels for size in known))]


def _all_fit(jobs: list[Job], predictor: Predictor, there: Budget) -> bool:
    """Tell whether one scan can wait and another be written while any of them is segmented."""
    several = [there.needs(size, predictor) for job in jobs for size in sizes(job)]
    return memory_plan.together(several) <= there.limit


class Clock:
    """How long the cases that are left will take, told whenever one has ended."""

    def __init__(self, cases: int) -> None:
        self._cases, self._ended = cases, itertools.count(1)
        self._began = time.monotonic()

    def seconds_left(self) -> float:
        """Count one more case as ended."""
        ended = next(self._ended)
        return (time.monotonic() - self._began) / ended * (self._cases - ended)


@dataclass(frozen=True, eq=False)
class _Given:
    """A scan that was read, what is unusual about it, and how long that took."""

    volume: Volume
    warnings: list[str]
    seconds: float


@dataclass(frozen=True, eq=False)
class _Found:
    """A segmentation that is not written yet, and what is reported of it so far."""

    measured: Measured
    entry: Entry


@dataclass(frozen=True)
class _Work:
    """The stages of a case: what each needs beside the job."""

    reducing: Reducing
    settings: Settings
    expected: dict[Job, Entry]
    report: Report
    listener: Listener
    clock: Clock
    write: Write
    there: Budget

    @property
    def predictor(self) -> Predictor:
        """The model, as it is applied now."""
        return self.reducing.predictor

    def read(self, job: Job) -> _Given:
        """Read a scan and compare it with those of the training.

        Raises:
            MedsegError: It cannot be used.
        """
        if job.scan.fault is not None:
            raise job.scan.fault
        began = time.monotonic()
        self.listener.on_step(job, "reading")
        for size in sizes(job):
            self.there.fitting(size, self.predictor, where=job.image)
        volume = read_image(job.case, self.predictor.bundle.task, self.settings.choice)
        warnings = scan_warnings(volume, self.predictor)
        if warnings and self.settings.strict:
            raise ImageError(
                f"is not what the model was trained for: {'; '.join(warnings)}",
                where=job.image,
                remedy="Leave --strict away to segment it all the same",
            )
        warnings += [job.scan.remark] if job.scan.remark else []
        return _Given(volume, warnings, time.monotonic() - began)

    def segment(self, job: Job, given: _Given) -> _Found:
        """Segment a scan and judge the result."""
        began = time.monotonic()
        memory.forget_peak()
        if self.predictor.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.predictor.device)
        bundle, volume = self.predictor.bundle, given.volume
        self.listener.on_step(job, "segmenting")
        measured = self.reducing.run(lambda model: self._measured(job, model, volume))
        memory.give_back()
        labels = describe_labels(volume, measured.segmentation.label_map, bundle.task)
        quality = assess(
            labels, measured.mean_entropy, bundle.experience, bundle.task, warnings=given.warnings
        )
        entry = replace(
            self.expected[job],
            status="done",
            seconds=given.seconds + time.monotonic() - began,
            peak_memory_mb=_peaks_mb(self.predictor),
            volumes_ml={name: label.volume_ml for name, label in labels.items()},
            warnings=given.warnings,
            quality=asdict(quality),
        )
        return _Found(measured, entry)

    def _measured(self, job: Job, model: Predictor, volume: Volume) -> Measured:
        fitting, _ = self.there.fitting(memory_plan.size_of(volume), model, where=job.image)
        if fitting is not model:
            plan = fitting.bundle.plan
            tile, batch = "x".join(map(str, plan.patch)), plan.inference.batch
            self.listener.on_remark(f"{job.case.name}: tiles of {tile}, {batch} at once, to fit")
        return predict_measured(fitting, volume, keep_entropy=self.settings.uncertainty)

    def finish(self, job: Job, found: _Found) -> None:
        """Write a segmentation and record it.

        Raises:
            OutputError: It cannot be written.
        """
        began = time.monotonic()
        self.listener.on_step(job, "writing")
        files.remove_leftovers(job.output)
        segmentation = found.measured.segmentation
        if found.measured.entropy is not None:
            nifti.write_map(entropy_path(job.output), found.measured.entropy, segmentation.grid)
        self.write(job.output, _in_its_values(segmentation, job))
        seconds = round(found.entry.seconds + time.monotonic() - began, 3)
        entry = replace(found.entry, seconds=seconds)
        self.report.record(entry)
        self.listener.on_done(job, entry, self.clock.seconds_left())


def _in_its_values(segmentation: Segmentation, job: Job) -> Segmentation:
    """Return the segmentation as the data set that the scan is of numbers its labels."""
    matched = job.scan.matched
    return segmentation if matched is None else segmentation.with_values_of(matched.task)


def scan_warnings(volume: Volume, predictor: Predictor) -> list[str]:
    """Say what is unusual about a scan for this model; nothing if its experience is unknown."""
    remarks = []
    if not volume.grid.is_orthonormal:
        remarks.append("its axes are not perpendicular; its grid is used as it is")
    if not volume.grid.tells_sides:
        remarks.append("its file does not say which side is left; the usual one is assumed")
    bundle = predictor.bundle
    if bundle.experience is not None:
        description = describe_scan(volume, bundle.task)
        remarks += unfamiliar(description, bundle.experience, bundle.task)
    return remarks


def entropy_path(output: Path) -> Path:
    """Return where the entropy goes that belongs to the segmentation `output`."""
    name = stem(output).removesuffix(RESULT)
    return output.parent / ENTROPY / f"{name}_{ENTROPY}.nii.gz"


def _expected(job: Job, predictor: Predictor, settings: Settings) -> Entry:
    """Return the entry of a job that has not begun."""
    choice, matched = settings.choice, job.scan.matched
    bundle, options = predictor.bundle, predictor.options
    task = bundle.task if matched is None else matched.task
    return Entry(
        case=job.case.name,
        input=[str(image.absolute()) for image in job.case.images],
        output=str(job.output.absolute()),
        status="failed",
        model=predictor.hash,
        inputs_state=state_of(job.case.images),
        settings={
            "series": choice.series,
            "volume": list(choice.volume) if choice.volume else None,
            "uncertainty": settings.uncertainty,
            "models": [model.hash for model in predictor.models],
            "precision": options.precision,
            "tta": options.tta,
            "overlap": options.overlap_of(bundle.plan.inference.overlap),
            "crop": options.crop,
            "skip": options.skip,
        },
        label_values={name: task.labels[name].value for name in bundle.task.labels},
        channel_order=None if job.case.order is None else list(job.case.order),
    )


def failed(failure: Failure, expected: Entry) -> Entry:
    """Return the entry of a failure.

    Further lines of an error, and errors that medseg did not word, may tell of headers.
    """
    foreign = failure.unforeseen
    what = f"failed with {foreign}" if foreign else failure.error.what.splitlines()[0]
    return replace(expected, error=f"{what}. {failure.error.remedy}.")


def _peaks_mb(predictor: Predictor) -> dict[str, float]:
    peaks = {"host": memory.peak_bytes() / 1e6}
    if predictor.device.type == "cuda":
        peaks["device"] = torch.cuda.max_memory_allocated(predictor.device) / 1e6
    return {name: round(size, 1) for name, size in peaks.items()}
