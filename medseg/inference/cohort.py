"""Many scans in one go: what is segmented and how, and what the results are called."""

import itertools
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

from medseg import formats
from medseg.data.cases import Case
from medseg.data.results import ENTROPY
from medseg.errors import MedsegError, UsageError
from medseg.formats import ANY, Choice
from medseg.inference.scans import RESULT, Scan


@dataclass(frozen=True)
class Job:
    """A scan and the file its segmentation goes to.

    Attributes:
        scan: What is segmented.
        output: Where the segmentation goes.
        beside: The same in further formats.
    """

    scan: Scan
    output: Path
    beside: tuple[Path, ...] = ()

    @property
    def case(self) -> Case:
        """The name and files of the scan."""
        return self.scan.case

    @property
    def image(self) -> Path:
        """Its file, or that of its first channel."""
        return self.scan.case.images[0]


@dataclass(frozen=True)
class Failure:
    """A job that did not end well, and why.

    Attributes:
        job: The scan.
        error: What a user is told.
        unforeseen: The kind of an error that medseg did not word itself; else None.
    """

    job: Job
    error: MedsegError
    unforeseen: str | None = None


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


def plan_jobs(scans: list[Scan], out: Path | None, suffix: str) -> list[Job]:
    """Give every scan an output of its own.

    Args:
        scans: What `medseg.inference.scans` found.
        out: The output file (one scan only) or folder; None puts each beside its scan.
        suffix: Ending of the output files, such as `.nii.gz`.

    Raises:
        UsageError: One output file for several scans, an output file of another format, or an
            output that is one of the scans or their label maps, or none for cases of a data set.
    """
    if out is None:
        _refuse_beside_references(scans)
    outputs = _outputs([scan.case for scan in scans], out, suffix)
    sources = _sources([scan.case for scan in scans])
    for output in outputs:
        source = sources.get(_as_any_system_sees(output))
        if source is not None:
            raise UsageError(
                f"the output {output} is one of the {source}", remedy="Name another place with -o"
            )
    return [Job(scan, output) for scan, output in zip(scans, outputs, strict=True)]


def files_of(job: Job, settings: Settings) -> tuple[Path, ...]:
    """Return all files and folders that a job writes, its output last."""
    entropy = (entropy_path(job.output),) if settings.uncertainty else ()
    return (*entropy, *job.beside, job.output)


def entropy_path(output: Path) -> Path:
    """Return where the entropy goes that belongs to the segmentation `output`."""
    name = formats.stem(output).removesuffix(RESULT)
    return output.parent / ENTROPY / f"{name}_{ENTROPY}.nii.gz"


def from_anywhere(job: Job) -> Job:
    """Return the job with paths that do not depend on the folder in which a process runs."""
    case, beside = job.scan.case, tuple(path.absolute() for path in job.beside)
    images = tuple(image.absolute() for image in case.images)
    label = None if case.label is None else case.label.absolute()
    scan = replace(job.scan, case=replace(case, images=images, label=label))
    return Job(scan, job.output.absolute(), beside)


def _refuse_beside_references(scans: list[Scan]) -> None:
    labelled = [scan.matched for scan in scans if scan.matched and scan.case.label]
    if labelled:
        edition = labelled[0].data_set.edition
        raise UsageError(
            f"{len(labelled)} cases of {edition} need a folder for the results",
            remedy="Name one with -o; beside the scans lie the references",
        )


def _sources(cases: list[Case]) -> dict[str, str]:
    """Return what a result must not replace, and what that is."""
    labels = [case.label for case in cases if case.label is not None]
    images = [image for case in cases for image in case.images]
    return dict.fromkeys(map(_as_any_system_sees, labels), "references") | dict.fromkeys(
        map(_as_any_system_sees, images), "scans"
    )


def _outputs(cases: list[Case], out: Path | None, suffix: str) -> list[Path]:
    named = out is not None and (formats.suffix_of(out) or out.name.lower().endswith(suffix))
    if out is None or out.is_dir() or not named:
        stems = _distinct_stems(cases, beside=out is None)
        folders = [out if out is not None else case.images[0].parent for case in cases]
        return [
            folder / (stem + RESULT + suffix) for folder, stem in zip(folders, stems, strict=True)
        ]
    if not out.name.lower().endswith(suffix):
        raise UsageError(
            f"the output {out} does not end in {suffix}",
            remedy=f"Name a file that ends in {suffix}",
        )
    if len(cases) > 1:
        raise UsageError(
            f"{len(cases)} scans cannot go into the one file {out}", remedy="Name a folder with -o"
        )
    return [out]


def _as_any_system_sees(path: Path) -> str:
    """Return a key that is equal for two names that macOS or Windows may hold for one file."""
    return str(path.resolve()).casefold()


def _distinct_stems(cases: list[Case], *, beside: bool) -> list[str]:
    """Return a name for each case; those that would meet in one folder get longer ones."""
    folders = [case.images[0].parent.resolve() for case in cases]
    places = [folder if beside else None for folder in folders]
    parents = ["" if beside else f"{folder.name}_" for folder in folders]
    stems = [case.name for case in cases]
    whole = [case.images[0].name if len(case.images) == 1 else case.name for case in cases]
    for longer in (stems, whole):
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
