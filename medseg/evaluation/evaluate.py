"""Evaluation of a folder of predictions against a folder of references."""

from collections.abc import Callable, Collection
from pathlib import Path

from medseg import formats
from medseg.errors import DataError
from medseg.evaluation import region_pairs
from medseg.evaluation.pair import Pair
from medseg.evaluation.score import DEFAULT, Score, Scores, score_pairs
from medseg.segmentation import Segmentation
from medseg.task import Task


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
    on_case: Callable[[str], None] | None = None,
) -> dict[str, Scores]:
    """Score every reference's prediction by each of several conventions.

    A file's case is its name without ending and without `_seg`. All cases must be there and
    fit, so that a mean is never over fewer cases than it seems to be.

    Args:
        task: What the label values mean, and which regions are scored.
        reference_dir: Label maps that are known to be right.
        prediction_dir: Label maps to be scored, one for each reference.
        conventions: What the scores mean; modules of `medseg.evaluation.conventions`.
        cases: The cases to score; all references if absent.
        on_case: Called with the name of each case when it is done.

    Raises:
        DataError: A folder or a prediction is missing, a label value is unknown, or a
            prediction does not lie on its reference's grid.
        ImageError: A file is damaged.
    """
    references, predictions = label_maps(reference_dir), label_maps(prediction_dir)
    wanted = sorted(references if cases is None else cases)
    _require(wanted, references, reference_dir, "reference")
    _require(wanted, predictions, prediction_dir, "prediction")
    rows: dict[str, list[Score]] = {convention: [] for convention in conventions}
    for case in wanted:
        pairs = _pairs_of(task, references[case], predictions[case])
        for convention, scored in rows.items():
            scored += score_pairs(case, pairs, convention=convention)
        if on_case is not None:
            on_case(case)
    unknown = tuple(sorted(set(predictions) - set(references)))
    return {
        convention: Scores(tuple(scored), unknown, convention)
        for convention, scored in rows.items()
    }


def label_maps(folder: Path) -> dict[str, Path]:
    """Return the image files of `folder` by their case.

    Of several files of one case, which export leaves side by side, the NIfTI file counts.

    Raises:
        DataError: There is no such folder, it holds no image, or two NIfTI files are of one case.
    """
    if not folder.is_dir():
        raise DataError("there is no such folder", where=folder, remedy="Check the path")
    found: dict[str, list[Path]] = {}
    for path in sorted(folder.iterdir()):
        if path.is_file() and formats.suffix_of(path) is not None:
            found.setdefault(formats.stem(path).removesuffix("_seg"), []).append(path)
    if not found:
        raise DataError(
            "holds no label maps", where=folder, remedy="Give the folder the files lie in"
        )
    return {case: _one_of(paths) for case, paths in found.items()}


def _one_of(paths: list[Path]) -> Path:
    nifti = [path for path in paths if formats.suffix_of(path) in (".nii", ".nii.gz")]
    candidates = nifti or paths
    if len(candidates) > 1:
        raise DataError(
            f"{', '.join(path.name for path in candidates)} are of one case",
            where=candidates[0].parent,
            remedy="Keep one of them",
        )
    return candidates[0]


def _require(wanted: Collection[str], found: Collection[str], folder: Path, role: str) -> None:
    missing = [case for case in wanted if case not in found]
    if missing:
        shown = ", ".join(missing[:5]) + (", ..." if len(missing) > 5 else "")
        raise DataError(
            f"has no {role} for {len(missing)} of {len(wanted)} cases: {shown}",
            where=folder,
            remedy="Add them, or score the cases a run held out alone, with --held-out RUN",
        )


def _pairs_of(task: Task, reference: Path, prediction: Path) -> dict[str, Pair]:
    known = formats.read_segmentation(reference, task)
    found = formats.read_segmentation(prediction, task)
    _require_same_grid(known, found, reference, prediction)
    return region_pairs.pairs(known, found)


def _require_same_grid(
    known: Segmentation, found: Segmentation, reference: Path, prediction: Path
) -> None:
    if known.grid.shape != found.grid.shape:
        raise DataError(
            f"has the shape {found.grid.shape}, but its reference {reference} has"
            f" {known.grid.shape}",
            where=prediction,
            remedy="Predict on the scan the reference was drawn on, or resample the prediction",
        )
    if not known.grid.matches(found.grid):
        raise DataError(
            f"lies elsewhere in the patient than its reference {reference}: their affines differ",
            where=prediction,
            remedy="Predict on the scan the reference was drawn on, or resample the prediction",
        )
