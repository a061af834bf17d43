"""Evaluation of a folder of predictions against a folder of references."""

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Final

from medseg import formats
from medseg.errors import DataError, MedsegError, listed
from medseg.evaluation import region_pairs
from medseg.evaluation.one_grid import onto, require_perpendicular, require_same_place
from medseg.evaluation.pair import Pair
from medseg.evaluation.score import DEFAULT, Score, Scores, score_pairs
from medseg.segmentation import Segmentation
from medseg.task import Task

_ROLES: Final = ("_seg", "-seg", "_gt")
"""What ours, BraTS 2023's and ACDC's files carry behind the case, to say that they are labels."""


def evaluate(
    task: Task,
    reference_dir: Path,
    prediction_dir: Path,
    *,
    cases: Collection[str] | None = None,
    on_case: Callable[[str], None] | None = None,
) -> Scores:
    """Score every reference's prediction by medseg's own convention; see `side_by_side`."""
    scores = side_by_side(
        task, reference_dir, prediction_dir, conventions=[DEFAULT], cases=cases, on_case=on_case
    )
    return scores[DEFAULT]


def side_by_side(
    task: Task,
    reference_dir: Path,
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
        task: What the label values mean, and which regions are scored.
        reference_dir: Label maps that are known to be right.
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
    references, predictions = reference_maps(reference_dir), label_maps(prediction_dir)
    wanted = sorted(references if cases is None else cases)
    unknown = tuple(sorted(set(predictions) - set(references)))
    _require(wanted, references, reference_dir, "reference")
    _require(wanted, predictions, prediction_dir, "prediction")
    if cases is None:
        _refuse_extra(unknown, prediction_dir)
    rows: dict[str, list[Score]] = {convention: [] for convention in conventions}
    wrong: list[tuple[str, MedsegError]] = []
    for case in wanted:
        try:
            found = read_pair(task, references[case], predictions[case], resample=resample)
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


def cases_of(reference_dir: Path, chosen: Collection[str] | None = None) -> list[str]:
    """Return the cases that will be scored: those chosen, else all references.

    Raises:
        DataError: There is no such folder, or it holds no label maps.
    """
    return sorted(reference_maps(reference_dir) if chosen is None else chosen)


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
    task: Task, reference: Path, prediction: Path, *, resample: bool = False
) -> tuple[Segmentation, Segmentation]:
    """Read a reference and its prediction on one grid.

    Raises:
        DataError: A label value is unknown, the reference's axes are not perpendicular, the grids
            differ and `resample` is not asked for, or it would drop what was predicted.
        ImageError: A file is damaged.
    """
    known = formats.read_segmentation(reference, task)
    found = formats.read_segmentation(prediction, task)
    require_perpendicular(known.grid, reference)
    if resample:
        return known, onto(found, known.grid, prediction)
    require_same_place(found.grid, known.grid, prediction=prediction, reference=reference)
    return known, found


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
