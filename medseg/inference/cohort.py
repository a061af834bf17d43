"""Many scans in one go: what they are called, and going on past a bad one."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from medseg import formats
from medseg.errors import ImageError, MedsegError, UsageError

ENDING: Final = "_seg"


@dataclass(frozen=True)
class Job:
    """A scan and the file its segmentation goes to."""

    image: Path
    output: Path


@dataclass(frozen=True)
class Failure:
    """A job that did not end well, and why."""

    job: Job
    error: MedsegError


def plan_jobs(inputs: list[Path], out: Path | None, suffix: str) -> list[Job]:
    """Give every scan in `inputs` an output of its own.

    Args:
        inputs: Files, and folders whose images are all taken; segmentations that lie beside
            their scan are not.
        out: The output file (one scan only) or folder; None puts each beside its scan.
        suffix: Ending of the output files, such as `.nii.gz`.

    Raises:
        ImageError: There is no such file, or a folder holds no image.
        UsageError: One output file for several scans, or an output that is one of the scans.
    """
    images = [image for path in inputs for image in _images(path)]
    if out is not None and out.name.lower().endswith(suffix):
        if len(images) > 1:
            raise UsageError(
                f"{len(images)} scans cannot go into the one file {out}",
                remedy="Name a folder with -o",
            )
        outputs = [out]
    else:
        stems = _distinct_stems(images, beside=out is None)
        folders = [out if out is not None else image.parent for image in images]
        outputs = [
            folder / (stem + ENDING + suffix) for folder, stem in zip(folders, stems, strict=True)
        ]
    sources = {image.resolve() for image in images}
    for output in outputs:
        if output.resolve() in sources:
            raise UsageError(
                f"the output {output} is one of the scans", remedy="Name another place with -o"
            )
    return [Job(image, output) for image, output in zip(images, outputs, strict=True)]


def run(jobs: Iterable[Job], work: Callable[[Job], None]) -> Iterator[Failure | Job]:
    """Do `work` for each job; yield the job when it is done, or its failure."""
    for job in jobs:
        try:
            work(job)
        except MedsegError as error:
            yield Failure(job, error)
        else:
            yield job


def _images(path: Path) -> list[Path]:
    if not path.exists():
        raise ImageError("there is no such file or folder", where=path, remedy="Check the path")
    if not path.is_dir():
        return [path]
    images = sorted(file for file in path.iterdir() if file.is_file() and formats.suffix_of(file))
    stems = {formats.stem(image) for image in images}
    scans = [image for image in images if not _is_result(formats.stem(image), stems)]
    if not scans:
        raise ImageError(
            "holds no image",
            where=path,
            remedy=f"Give a folder with files ending in {', '.join(sorted(formats.suffixes()))}",
        )
    return scans


def _is_result(stem: str, stems: set[str]) -> bool:
    return stem.endswith(ENDING) and stem.removesuffix(ENDING) in stems


def _distinct_stems(images: list[Path], *, beside: bool) -> list[str]:
    """Return a name for each image; those that would meet in one folder get longer ones."""
    stems = [formats.stem(image) for image in images]
    places = [image.parent.resolve() if beside else None for image in images]
    stems = _lengthened(
        stems,
        places,
        [
            f"{image.resolve().parent.name}_{stem}"
            for image, stem in zip(images, stems, strict=True)
        ],
    )
    numbered = [f"{stem}_{number + 1}" for number, stem in enumerate(stems)]
    return _lengthened(stems, places, numbered)


def _lengthened(stems: list[str], places: list[Path | None], longer: list[str]) -> list[str]:
    seen = Counter(zip(places, (stem.lower() for stem in stems), strict=True))
    return [
        long if seen[place, stem.lower()] > 1 else stem
        for stem, place, long in zip(stems, places, longer, strict=True)
    ]
