"""A cohort from beginning to end, or from where it stopped: read, segment, judge, write, report."""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final, Literal, Protocol, runtime_checkable

import torch

from medseg import files, memory
from medseg.data.cases import read_image
from medseg.data.description import describe_labels, describe_scan
from medseg.errors import ImageError
from medseg.formats import ANY, Choice, nifti, stem
from medseg.inference import cohort
from medseg.inference.cohort import Failure, Job
from medseg.inference.familiarity import unfamiliar
from medseg.inference.predict import Predictor, predict_measured
from medseg.inference.quality import assess
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
    """

    choice: Choice = ANY
    strict: bool = False
    uncertainty: bool = False
    overwrite: bool = False


@runtime_checkable
class Listener(Protocol):
    """Whoever wants to know how a cohort is getting on."""

    def on_start(self, total: int, skipped: int) -> None:
        """Take note that of `total` cases `skipped` are done already."""

    def on_step(self, job: Job, step: Step) -> None:
        """Take note of what is being done now."""

    def on_done(self, job: Job, entry: Entry, seconds_left: float) -> None:
        """Take note of a result, and of about how long the others will take."""

    def on_failure(self, failure: Failure, seconds_left: float) -> None:
        """Take note of a case that cannot be segmented."""


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
    model = predictor.bundle.hash
    expected = {job: _expected(job, model, settings) for job in jobs}
    waiting = [job for job in jobs if settings.overwrite or not report.is_done(expected[job])]
    listener.on_start(len(jobs), len(jobs) - len(waiting))
    entries: dict[Job, Entry] = {}

    def work(job: Job) -> None:
        entries[job] = segment(job, predictor, settings, expected[job], listener, write=write)

    failures = []
    began = time.monotonic()
    for number, result in enumerate(cohort.run(waiting, work), start=1):
        left = (time.monotonic() - began) / number * (len(waiting) - number)
        if isinstance(result, Failure):
            failures.append(result)
            report.record(_failed(result, expected[result.job]))
            listener.on_failure(result, left)
        else:
            report.record(entries[result])
            listener.on_done(result, entries[result], left)
    return Outcome(len(waiting) - len(failures), len(jobs) - len(waiting), failures)


def segment(
    job: Job,
    predictor: Predictor,
    settings: Settings,
    expected: Entry,
    listener: Listener,
    *,
    write: Write,
) -> Entry:
    """Segment one scan, write the result, and return what is reported of it.

    Raises:
        MedsegError: The scan cannot be used, or the result not be written.
    """
    if job.scan.fault is not None:
        raise job.scan.fault
    began = time.monotonic()
    memory.forget_peak()
    if predictor.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(predictor.device)
    bundle = predictor.bundle
    listener.on_step(job, "reading")
    volume = read_image(job.case, bundle.task, settings.choice)
    warnings = scan_warnings(volume, predictor)
    if warnings and settings.strict:
        raise ImageError(
            f"is not what the model was trained for: {'; '.join(warnings)}",
            where=job.image,
            remedy="Leave --strict away to segment it all the same",
        )
    listener.on_step(job, "segmenting")
    found = predict_measured(predictor, volume, keep_entropy=settings.uncertainty)
    labels = describe_labels(volume, found.segmentation.label_map, bundle.task)
    quality = assess(labels, found.mean_entropy, bundle.experience, bundle.task, warnings=warnings)
    listener.on_step(job, "writing")
    files.remove_leftovers(job.output)
    if found.entropy is not None:
        nifti.write_map(entropy_path(job.output), found.entropy, volume.grid)
    written = _in_its_values(found.segmentation, job)
    write(job.output, written)
    return replace(
        expected,
        status="done",
        label_values={name: label.value for name, label in written.task.labels.items()},
        seconds=round(time.monotonic() - began, 3),
        peak_memory_mb=_peaks_mb(predictor),
        volumes_ml={name: label.volume_ml for name, label in labels.items()},
        warnings=warnings,
        quality=asdict(quality),
    )


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


def _expected(job: Job, model: str, settings: Settings) -> Entry:
    """Return the entry of a job that has not begun."""
    choice = settings.choice
    return Entry(
        case=job.case.name,
        input=[str(image.absolute()) for image in job.case.images],
        output=str(job.output.absolute()),
        status="failed",
        model=model,
        inputs_state=state_of(job.case.images),
        settings={
            "series": choice.series,
            "volume": list(choice.volume) if choice.volume else None,
            "uncertainty": settings.uncertainty,
        },
        channel_order=None if job.case.order is None else list(job.case.order),
    )


def _failed(failure: Failure, expected: Entry) -> Entry:
    """Return the entry of a failure; further lines of an error may tell of headers."""
    what = failure.error.what.splitlines()[0]
    return replace(expected, error=f"{what}. {failure.error.remedy}.")


def _peaks_mb(predictor: Predictor) -> dict[str, float]:
    peaks = {"host": memory.peak_bytes() / 1e6}
    if predictor.device.type == "cuda":
        peaks["device"] = torch.cuda.max_memory_allocated(predictor.device) / 1e6
    return {name: round(size, 1) for name, size in peaks.items()}
