"""A cohort from beginning to end, or from where it stopped: read, segment, judge, write, report."""

import functools
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from medseg import files, memory
from medseg.data.cases import read_image
from medseg.data.description import describe_labels, describe_scan
from medseg.data.preprocessing import Measured
from medseg.errors import ImageError
from medseg.formats import nifti
from medseg.inference import entries, memory_plan, pipeline, scan_size
from medseg.inference.cohort import Failure, Job, Settings, entropy_path, files_of
from medseg.inference.familiarity import unfamiliar
from medseg.inference.listening import Clock, Listener, Silent
from medseg.inference.memory_plan import Budget
from medseg.inference.pipeline import Stages
from medseg.inference.precision import Precision, has_bfloat16
from medseg.inference.predict import Predictor, predict_measured
from medseg.inference.quality import assess
from medseg.inference.reduction import Reducing
from medseg.inference.report import Entry, Report
from medseg.inference.scan_size import ScanSize
from medseg.segmentation import Segmentation
from medseg.volume import Volume

Write = Callable[[Path, Segmentation], None]
SizeOf = Callable[[Job], ScanSize | None]
"""Tells a scan's size by its headers, which are read once."""


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
        UsageError: Another run writes into the same folder.
    """
    with report.alone():
        expected, left = waiting(jobs, predictor, settings, report)
        listener.on_start(len(jobs), len(jobs) - len(left))
        _go_on(predictor, settled_before(expected, settings, report), listener)
        reducing = Reducing(predictor, listener.on_remark)
        failures = _each(left, reducing, settings, report, listener, expected, write=write)
    return Outcome(len(left) - len(failures), len(jobs) - len(left), failures)


def waiting(
    jobs: list[Job], predictor: Predictor, settings: Settings, report: Report
) -> tuple[dict[Job, Entry], list[Job]]:
    """Return what each job's entry begins with, and the jobs that are not done yet.

    The report names from now on what all jobs write. What a run that was killed left half-written
    is removed, if there is a report: without, another run may be writing it.
    """
    outputs = {job: files_of(job, settings) for job in jobs}
    together = [path for paths in outputs.values() for path in paths]
    if report.path is not None:
        files.remove_leftovers(report.path, *together)
    report.announce(together)
    expected = {job: entries.expected(job, predictor, settings) for job in jobs}
    redo = settings.overwrite
    return expected, [
        job for job in jobs if redo or not report.is_done(expected[job], outputs[job])
    ]


def _go_on(predictor: Predictor, settled: dict[int, Precision], listener: Listener) -> None:
    """Compute as for the cases that are done, even where that is slow."""
    predictor.settle_as(settled)
    device, names = predictor.device, {precision.name for precision in settled.values()}
    if "bfloat16" in names and not has_bfloat16(device):
        listener.on_remark(
            f"Goes on in bfloat16, as the other cases were done, though this {device.type} emulates"
            " it; --precision float32 does all of them in float32"
        )


def settled_before(
    expected: dict[Job, Entry], settings: Settings, report: Report
) -> dict[int, Precision]:
    """Return what an earlier run settled on by itself for the same cohort, by the model's place.

    That is nothing if all is done again, or what to compute in was asked for.
    """
    first = next(iter(expected.values()), None)
    if first is None or settings.overwrite or first.settings["precision"] != "auto":
        return {}
    return entries.precisions_in(report.precisions_of(first))


def _each(
    jobs: list[Job],
    reducing: Reducing,
    settings: Settings,
    report: Report,
    listener: Listener,
    expected: dict[Job, Entry],
    *,
    write: Write,
) -> list[Failure]:
    if not jobs:
        return []
    clock = Clock(len(jobs))
    there = budget(reducing, settings, exact=settings.max_memory is not None)
    size_of = functools.cache(lambda job: scan_size.of_case(job.case, settings.choice))
    work = _Work(reducing, settings, expected, report, listener, clock, write, there, size_of)
    stages = Stages(work.read, work.segment, work.finish)
    failures = []
    overlap = settings.overlap and _all_fit(jobs, reducing.predictor, size_of, there)
    for result in pipeline.run(jobs, stages, overlap=overlap):
        if isinstance(result, Failure):
            failures.append(result)
            report.record(entries.failed(result, expected[result.job]))
            listener.on_failure(result, clock.seconds_left())
    return failures


def run_one(
    job: Job, reducing: Reducing, settings: Settings, expected: Entry, *, write: Write
) -> Entry | Failure:
    """Segment one scan, and return what is reported of it; nobody is told of the steps."""
    report, silent, alone = Report(None, {}), Silent(), replace(settings, overlap=False)
    failures = _each([job], reducing, alone, report, silent, {job: expected}, write=write)
    return failures[0] if failures else Entry(**report.entries[expected.output])


def budget(reducing: Reducing, settings: Settings, *, exact: bool) -> Budget:
    """Return how much memory there is, with less at once if a single patch is too much."""
    return reducing.run(
        lambda model: memory_plan.budget(
            model, settings.max_memory, exact=exact, keep_entropy=settings.uncertainty
        )
    )


def _all_fit(jobs: list[Job], predictor: Predictor, size_of: SizeOf, there: Budget) -> bool:
    """Tell whether one scan can wait and another be written while any of them is segmented.

    A scan that has to be read before its size is known may be too large for that; after it, no
    more headers are read.
    """
    several = []
    for job in jobs:
        if job.scan.fault is None:
            size = size_of(job)
            if size is None:
                return False
            several.append(there.needs(size, predictor))
    return memory_plan.together(several) <= there.limit


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
    size_of: SizeOf

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
        size = self.size_of(job)
        if size is not None:
            self.there.fitting_anywhere(size, self.predictor, where=job.image)
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
        measured, applied = self.reducing.run(
            lambda model: (self._measured(job, model, volume), model)
        )
        memory.give_back()
        labels = describe_labels(volume, measured.segmentation.label_map, bundle.task)
        quality = assess(
            labels, measured.mean_entropy, bundle.experience, bundle.task, warnings=given.warnings
        )
        seconds = given.seconds + time.monotonic() - began
        entry = entries.done(
            self.expected[job], labels, quality, applied, given.warnings, seconds=seconds
        )
        return _Found(measured, entry)

    def _measured(self, job: Job, model: Predictor, volume: Volume) -> Measured:
        fitting, _ = self.there.fitting(scan_size.of(volume), model, where=job.image)
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
        outputs = files_of(job, self.settings)
        files.remove_leftovers(*outputs)
        segmentation = found.measured.segmentation
        if found.measured.entropy is not None:
            nifti.write_map(entropy_path(job.output), found.measured.entropy, segmentation.grid)
        self.write(job.output, _in_its_values(segmentation, job))
        seconds = round(found.entry.seconds + time.monotonic() - began, 3)
        entry = replace(found.entry, seconds=seconds, outputs=entries.written(outputs))
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
