"""Many scans in one go: what they are called, and going on past a bad one."""

import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from medseg import formats
from medseg.data import layouts
from medseg.data.cases import Case
from medseg.data.matching import Matched, match
from medseg.errors import ImageError, MedsegError, UsageError
from medseg.task import Task

ENDING: Final = "_seg"


@dataclass(frozen=True)
class Job:
    """A scan and the file its segmentation goes to.

    Attributes:
        image: The scan, or its first channel.
        output: Where the segmentation goes.
        case: The case of a data set that it is; None for a file of its own.
        task: The task in the values that the segmentation is written in; None for the model's.
    """

    image: Path
    output: Path
    case: Case | None = None
    task: Task | None = None


@dataclass(frozen=True)
class Failure:
    """A job that did not end well, and why."""

    job: Job
    error: MedsegError


def plan_jobs(
    inputs: list[Path], out: Path | None, suffix: str, task: Task | None = None
) -> list[Job]:
    """Give every scan in `inputs` an output of its own.

    Args:
        inputs: Files, and folders whose images are all taken; segmentations that lie beside
            their scan are not. A folder of DICOM slices is one scan. Of a data set that a layout
            knows, all cases are taken.
        out: The output file (one scan only) or folder; None puts each beside its scan.
        suffix: Ending of the output files, such as `.nii.gz`.
        task: What is segmented; without one no data set is recognised.

    Raises:
        ImageError: There is no such file, or a folder holds no image.
        UsageError: One output file for several scans, an output file of another format, or an
            output that is one of the scans.
    """
    sets = {path: _data_set(path, task) for path in inputs} if task is not None else {}
    known = [matched for matched in sets.values() if matched is not None]
    if known:
        rest = [path for path in inputs if sets[path] is None]
        jobs = [job for matched in known for job in jobs_of_cases(matched, out, suffix)]
        return [*jobs, *(plan_jobs(rest, out, suffix) if rest else [])]
    found = [image for path in inputs for image in _images(path)]
    images = list({image.absolute(): image for image in found}.values())
    outputs = _outputs(images, out, suffix)
    sources = {_as_any_system_sees(image) for image in images}
    for output in outputs:
        if _as_any_system_sees(output) in sources:
            raise UsageError(
                f"the output {output} is one of the scans", remedy="Name another place with -o"
            )
    return [Job(image, output) for image, output in zip(images, outputs, strict=True)]


def jobs_of_cases(matched: Matched, out: Path | None, suffix: str) -> list[Job]:
    """Give every case of a data set an output, called as the case is, in the data set's values.

    Raises:
        UsageError: No folder is named for them, which would put them among the references.
    """
    cases = matched.data_set.cases
    is_file = out is not None and not out.is_dir() and formats.suffix_of(out) is not None
    if out is None or (is_file and len(cases) > 1):
        raise UsageError(
            f"{len(cases)} cases of {matched.data_set.edition} need a folder for the results",
            remedy="Name one with -o; beside the scans lie the references",
        )
    outputs = [out if is_file else out / f"{case.name}{ENDING}{suffix}" for case in cases]
    return [
        Job(case.images[0], output, case, matched.task)
        for case, output in zip(cases, outputs, strict=True)
    ]


def run(jobs: Iterable[Job], work: Callable[[Job], None]) -> Iterator[Failure | Job]:
    """Do `work` for each job; yield the job when it is done, or its failure, whatever it is."""
    for job in jobs:
        try:
            work(job)
        except MedsegError as error:
            yield Failure(job, error)
        except Exception as error:
            failure = _unforeseen(job, error)
            failure.__cause__ = error
            yield Failure(job, failure)
        else:
            yield job


def _data_set(path: Path, task: Task) -> Matched | None:
    """Return the data set below `path`; None for a file, or a folder of scans side by side."""
    if not path.is_dir():
        return None
    found = layouts.recognise(path, task)
    if found is None or layouts.is_flat(found):
        return None
    return match(found, task)


def _unforeseen(job: Job, error: Exception) -> MedsegError:
    if isinstance(error, MemoryError):
        remedy = "Close other programs, or use a machine with more"
        return MedsegError("needs more memory than there is", where=job.image, remedy=remedy)
    said = " ".join([type(error).__name__, *str(error).split()])
    return MedsegError(
        f"failed with {said:.200}",
        where=job.image,
        remedy="If there is memory enough, predict it alone with --debug to see where",
    )


def _outputs(images: list[Path], out: Path | None, suffix: str) -> list[Path]:
    if out is None or out.is_dir() or not formats.suffix_of(out):
        stems = _distinct_stems(images, beside=out is None)
        folders = [out if out is not None else image.parent for image in images]
        return [
            folder / (stem + ENDING + suffix) for folder, stem in zip(folders, stems, strict=True)
        ]
    if not out.name.lower().endswith(suffix):
        raise UsageError(
            f"the output {out} does not end in {suffix}",
            remedy=f"Name a file that ends in {suffix}",
        )
    if len(images) > 1:
        raise UsageError(
            f"{len(images)} scans cannot go into the one file {out}", remedy="Name a folder with -o"
        )
    return [out]


def _as_any_system_sees(path: Path) -> str:
    """Return a key that is equal for two names that macOS or Windows may hold for one file."""
    return str(path.resolve()).casefold()


def _images(path: Path) -> list[Path]:
    if not path.exists():
        raise ImageError("there is no such file or folder", where=path, remedy="Check the path")
    if not path.is_dir():
        return [path]
    if formats.holds_dicom(path):
        return [path if path.name.strip(".") else path.resolve()]  # `.` has no name
    files = sorted(file for file in path.iterdir() if file.is_file() and formats.suffix_of(file))
    names = {file.name for file in files}
    images = [file for file in files if not _is_header(file.name, names)]
    bases = names | {formats.stem(image) for image in images}
    scans = [image for image in images if not _is_result(formats.stem(image), bases)]
    if not scans:
        raise ImageError(
            "holds no image",
            where=path,
            remedy=f"Give a folder with files ending in {', '.join(sorted(formats.suffixes()))}",
        )
    return scans


def _is_header(name: str, names: set[str]) -> bool:
    """Tell whether `name` is the header of another file, as in a pair of `.hdr` and `.img`."""
    stem = name.removesuffix(".gz").removesuffix(".hdr")
    return stem != name.removesuffix(".gz") and bool({stem + ".img", stem + ".img.gz"} & names)


def _is_result(stem: str, bases: set[str]) -> bool:
    return stem.endswith(ENDING) and stem.removesuffix(ENDING) in bases


def _distinct_stems(images: list[Path], *, beside: bool) -> list[str]:
    """Return a name for each image; those that would meet in one folder get longer ones."""
    places = [image.parent.resolve() if beside else None for image in images]
    parents = ["" if beside else f"{image.resolve().parent.name}_" for image in images]
    stems = [formats.stem(image) for image in images]
    for longer in (stems, [image.name for image in images]):
        names = [parent + name for parent, name in zip(parents, longer, strict=True)]
        stems = _lengthened(stems, places, names)
    return _numbered(stems, places)


def _lengthened(stems: list[str], places: list[Path | None], longer: list[str]) -> list[str]:
    seen = Counter(zip(places, (stem.casefold() for stem in stems), strict=True))
    return [
        long if seen[place, stem.casefold()] > 1 else stem
        for stem, place, long in zip(stems, places, longer, strict=True)
    ]


def _numbered(stems: list[str], places: list[Path | None]) -> list[str]:
    """Add a number to each name that an earlier one of its folder has already."""
    taken: set[tuple[Path | None, str]] = set()
    distinct = []
    for stem, place in zip(stems, places, strict=True):
        candidates = itertools.chain([stem], (f"{stem}_{number}" for number in itertools.count(2)))
        free = next(name for name in candidates if (place, name.casefold()) not in taken)
        taken.add((place, free.casefold()))
        distinct.append(free)
    return distinct
