"""What the report says of a case: before it begins, when it is done, when it failed."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from pathlib import Path

import torch

from medseg import memory
from medseg.data.description import LabelDescription
from medseg.inference.cohort import Failure, Job, Settings
from medseg.inference.precision import Precision
from medseg.inference.predict import Predictor
from medseg.inference.quality import Quality
from medseg.inference.report import Entry, state_of


def expected(job: Job, predictor: Predictor, settings: Settings) -> Entry:
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


def done(
    expected: Entry,
    labels: Mapping[str, LabelDescription],
    quality: Quality,
    predictor: Predictor,
    warnings: list[str],
    *,
    seconds: float,
) -> Entry:
    """Return the entry of a scan that was segmented, and not written yet.

    Args:
        expected: What it began with.
        labels: What was found.
        quality: How it was judged.
        predictor: The model, as it was applied.
        warnings: What is unusual about the scan.
        seconds: How long it took so far.
    """
    return replace(
        expected,
        status="done",
        seconds=seconds,
        precisions=told_of(predictor),
        peak_memory_mb=_peaks_mb(predictor),
        volumes_ml={name: label.volume_ml for name, label in labels.items()},
        warnings=warnings,
        quality=asdict(quality),
    )


def told_of(predictor: Predictor) -> list[dict[str, str]]:
    """Return what each network computes in, and why; nothing while that is not settled of all."""
    settled = predictor.settled
    numbers = range(sum(len(model.members) for model in predictor.models))
    if not settled.keys() >= set(numbers):
        return []
    return [{"used": settled[n].name, "reason": settled[n].reason} for n in numbers]


def precisions_in(told: list[dict[str, str]]) -> dict[int, Precision]:
    """Return what `told_of` told, as a predictor takes it; nothing if it is not known here."""
    if not {each.get("used") for each in told} <= {"float32", "bfloat16"}:
        return {}
    return {
        number: Precision(getattr(torch, each["used"]), each.get("reason", ""))
        for number, each in enumerate(told)
    }


def written(outputs: Iterable[Path]) -> list[str]:
    """Return the files that are there of some outputs, those in folders one by one."""
    found: list[Path] = []
    for path in outputs:
        found += sorted(path.iterdir()) if path.is_dir() else [path]
    return [str(path.absolute()) for path in found]


def _peaks_mb(predictor: Predictor) -> dict[str, float]:
    peaks = {"host": memory.peak_bytes() / 1e6}
    if predictor.device.type == "cuda":
        peaks["device"] = torch.cuda.max_memory_allocated(predictor.device) / 1e6
    return {name: round(size, 1) for name, size in peaks.items()}
