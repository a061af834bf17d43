"""Evaluation of a folder of predictions against a folder of references."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from medseg import formats
from medseg.data import layouts
from medseg.data.cases import Case
from medseg.data.matching import match
from medseg.errors import DataError, MedsegError, listed
from medseg.evaluation import region_pairs
from medseg.evaluation.one_grid import onto, require_perpendicular, require_same_place
from medseg.evaluation.pair import Pair
from medseg.evaluation.score import DEFAULT, Score, Scores, score_pairs
from medseg.segmentation import FileValues, Segmentation
from medseg.task import Task

_ROLES: Final = ("_seg", "-seg", "_gt")
"""What ours, BraTS 2023's and ACDC's files carry behind the case, to say that they are labels."""


@dataclass(frozen=True)
class References:
    """Label maps that are known to be right.

    Attributes:
        task: In the values of the label maps.
        paths: The file of each case.
        values: Values of a file that stand for something else, by case.
        place: The folder they were found in.
        unlabelled: Cases that are known to have none; their predictions are passed over.
        is_data_set: Whether that is a data set, with its own files.
    """

    task: Task
    paths: Mapping[str, Path]
    values: Mapping[str, FileValues | None]
    place: Path
    unlabelled: frozenset[str] = frozenset()
    is_data_set: bool = True


def references(task: Task, folder: Path) -> References:
    """Return the references in a folder of label maps, or of a data set that a layout knows.

    Raises:
        DataError: The folder is missing, holds none, or its data contradict the task.
    """
    found = layouts.recognise(folder, task) if folder.is_dir() else None
    if found is None:
        return References(task, reference_maps(folder), {}, folder, frozenset(), is_data_set=False)
    matched = match(found, task)
    layouts.require_labelled(matched.data_set)
    return of_cases(matched.data_set.cases, matched.task, folder)


def of_cases(cases: Sequence[Case], task: Task, place: Path) -> References:
    """Return the label maps of cases as references; those without one are left out."""
    paths = {case.name: case.label for case in cases if case.label is not None}
    values = {case.name: case.values for case in cases}
    return References(task, paths, values, place, frozenset(values.keys() - paths.keys()))


def evaluate(
    task: Task,
    reference_dir: Path,
    prediction_dir: Path,
    *,
    cases: Collection[str] | None = None,
    on_case: Callable[[str], None] | None = None,
) -> Scores:
    """Score every reference's prediction by medseg's own convention; see `side_by_side`."""
    known = references(task, reference_dir)
    scores = side_by_side(
        known, prediction_dir, conventions=[DEFAULT], cases=cases, on_case=on_case
    )
    return scores[DEFAULT]


def side_by_side(
    known: References,
    prediction_dir: Path,
    *,
    conventions: Collection[str],
    cases: Collection[str] | None = None,
    resample: bool = False,
    on_case: Callable[[str], None] | None = None,
) -> dict[str, Scores]:
    """Score every reference's prediction by each of several conventions.

    A file's case is its name without ending and without `_seg` or `_gt`. All cases must be there
    and fit, so that a mean is never over fewer cases than it seems to be.

    Args:
        known: Label maps that are known to be right; predictions have the same values.
        prediction_dir: Label maps to be scored, one for each reference.
        conventions: What the scores mean; modules of `medseg.evaluation.conventions`.
        cases: The cases to score; all references if absent.
        resample: Bring predictions that lie on another grid onto their reference's; each voxel
            takes the nearest label.
        on_case: Called with the name of each case when it is done.

    Raises:
        DataError: A folder or a prediction is missing, a prediction has no reference, a label
            value is unknown, or a prediction does not lie on its reference's grid. With `resample`:
            a prediction has labels outside its reference's box.
        ImageError: A file is damaged.
    """
    predictions = label_maps(prediction_dir)
    wanted = cases_of(known, cases)
    unknown = tuple(sorted(set(predictions) - set(known.paths) - known.unlabelled))
    _require(wanted, known.paths, known.place, "reference")
    _require(wanted, predictions, prediction_dir, "prediction")
    if cases is None:
        _refuse_extra(unknown, prediction_dir)
    rows: dict[str, list[Score]] = {convention: [] for convention in conventions}
    wrong: list[tuple[str, MedsegError]] = []
    for case in wanted:
        try:
            found = read_pair(known, case, predictions[case], resample=resample)
        except MedsegError as error:
            wrong.append((case, error))
            continue
        if not wrong:  # else nothing will be told but what is wrong
            _score(case, region_pairs.pairs(*found), rows)
            if on_case is not None:
                on_case(case)
    _refuse(wrong, len(wanted), prediction_dir)
    return {
        convention: Scores(tuple(scored), unknown, convention)
        for convention, scored in rows.items()
    }


def cases_of(known: References, chosen: Collection[str] | None = None) -> list[str]:
    """Return the cases that will be scored: those chosen, else all references."""
    return sorted(known.paths if chosen is None else chosen)


def label_maps(folder: Path) -> dict[str, Path]:
    """Return the image files of `folder` by their case.

    Of several files of one case, which export leaves side by side, the NIfTI file counts.

    Raises:
        DataError: There is no such folder, it holds no image, or two NIfTI files are of one case.
    """
    return {case: _one_of(paths) for case, paths in _by_case(folder).items()}


def reference_maps(folder: Path) -> dict[str, Path]:
    """Return the label maps of a folder of references, in which the scans may lie too.

    As `label_maps`; but where only one file of a case has `_seg`, `-seg` or `_gt` behind it, the
    others are taken for its scan, as in ACDC's `frame01.nii.gz` and `frame01_gt.nii.gz`.

    Raises:
        DataError: As in `label_maps`.
    """
    return {case: _one_of(_marked(paths) or paths) for case, paths in _by_case(folder).items()}


def case_of(path: Path) -> str:
    """Return the case of a file: its name without ending and without `_seg`, `-seg` or `_gt`."""
    name = formats.stem(path)
    for role in _ROLES:
        name = name.removesuffix(role)
    return name


def read_pair(
    known: References, case: str, prediction: Path, *, resample: bool = False
) -> tuple[Segmentation, Segmentation]:
    """Read the reference of a case and its prediction on one grid.

    Raises:
        DataError: A label value is unknown, the reference's axes are not perpendicular, the grids
            differ and `resample` is not asked for, or it would drop what was predicted.
        ImageError: A file is damaged.
    """
    reference = known.paths[case]
    there = formats.read_segmentation(reference, known.task, known.values.get(case))
    found = formats.read_segmentation(prediction, known.task)
    require_perpendicular(there.grid, reference)
    if resample:
        return there, onto(found, there.grid, prediction)
    require_same_place(found.grid, there.grid, prediction=prediction, reference=reference)
    return there, found


def _score(case: str, pairs: Mapping[str, Pair], rows: Mapping[str, list[Score]]) -> None:
    for convention, scored in rows.items():
        scored += score_pairs(case, pairs, convention=convention)


def _by_case(folder: Path) -> dict[str, list[Path]]:
    if not folder.is_dir():
        raise DataError("there is no such folder", where=folder, remedy="Check the path")
    found: dict[str, list[Path]] = {}
    for path in sorted(folder.iterdir()):
        if path.is_file() and formats.suffix_of(path) is not None:
            found.setdefault(case_of(path), []).append(path)
    if not found:
        deeper = next((p.parent for p in folder.rglob("*") if formats.suffix_of(p)), None)
        raise DataError(
            "holds no label maps" + (f", but {deeper} does" if deeper else ""),
            where=folder,
            remedy="Give one folder that the label maps of all cases lie in, side by side",
        )
    return found


def _marked(paths: list[Path]) -> list[Path]:
    return [path for path in paths if case_of(path) != formats.stem(path)]


def _one_of(paths: list[Path]) -> Path:
    nifti = [path for path in paths if formats.suffix_of(path) in (".nii", ".nii.gz")]
    candidates = nifti or paths
    if len(candidates) > 1:
        raise DataError(
            f"{', '.join(path.name for path in candidates)} are of one case",
            where=candidates[0].parent,
            remedy="Put the label maps that are to be scored into a folder of their own, one for"
            " each case",
        )
    return candidates[0]


def _require(wanted: Collection[str], found: Collection[str], folder: Path, role: str) -> None:
    missing = [case for case in wanted if case not in found]
    if missing:
        raise DataError(
            f"has no {role} for {len(missing)} of {len(wanted)} cases: {listed(missing)}",
            where=folder,
            remedy="Add them, or score the cases a run held out alone, with --held-out RUN",
        )


def _refuse_extra(extra: Sequence[str], folder: Path) -> None:
    if extra:
        raise DataError(
            f"has predictions of {len(extra)} cases without a reference: {listed(extra)}",
            where=folder,
            remedy="Add their references or move them away, so that it is plain what is scored",
        )


def _refuse(wrong: Sequence[tuple[str, MedsegError]], cases: int, folder: Path) -> None:
    """Raise what is wrong: one error as it is, several as one that lists the cases."""
    if not wrong:
        return
    _, first = wrong[0]
    if len(wrong) == 1:
        raise first
    reasons = listed([f"{case} {error.what}" for case, error in wrong], separator="; ")
    raise type(first)(
        f"{len(wrong)} of {cases} cases cannot be scored: {reasons}",
        where=folder,
        remedy=_remedies(wrong),
    ) from first


def _remedies(wrong: Sequence[tuple[str, MedsegError]]) -> str:
    """Return what to do about each kind of error, with its cases if there are several kinds."""
    by_remedy: dict[str, list[str]] = {}
    for case, error in wrong:
        by_remedy.setdefault(error.remedy, []).append(case)
    if len(by_remedy) == 1:
        return wrong[0][1].remedy
    return ". ".join(f"{listed(cases)}: {remedy}" for remedy, cases in by_remedy.items())
