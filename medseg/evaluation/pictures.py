"""All pictures of one evaluation: `boxes.png`, `bland_altman.png` and `worst_cases.png`."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from medseg import formats
from medseg.evaluation import scans, score_files, score_plots, worst_cases
from medseg.evaluation.clinical_numbers import ClinicalNumbers
from medseg.evaluation.evaluate import label_maps, read_pair, reference_maps
from medseg.evaluation.score import Scores
from medseg.evaluation.worst_cases import Shown
from medseg.task import Task


@dataclass(frozen=True)
class Places:
    """Where the files of an evaluation lie.

    Attributes:
        reference_dir: The references.
        prediction_dir: The predictions.
        image_dir: The scans, called as the cases are; None if there are none.
        resample: Whether predictions are brought onto their reference's grid.
    """

    reference_dir: Path
    prediction_dir: Path
    image_dir: Path | None = None
    resample: bool = False


def require_scans(places: Places, cases: Collection[str], task: Task) -> None:
    """Check before anything is scored that every case that may be drawn has its scan.

    Raises:
        DataError: A case has none, or there is no such folder.
    """
    if places.image_dir is not None:
        _scans(places, cases, task)


def draw(scores: Scores, task: Task, places: Places, folder: Path) -> None:
    """Draw `boxes.png` and `worst_cases.png`; the worst cases are read once more.

    Raises:
        DataError: The scan of a worst case is missing, or lies on another grid.
        OutputError: They cannot be written.
    """
    score_plots.draw_boxes(scores, score_files.shown(scores), folder / "boxes.png")
    worst_cases.draw(list(_worst(scores, task, places)), folder / "worst_cases.png")


def draw_agreement(numbers: ClinicalNumbers, folder: Path) -> None:
    """Draw `bland_altman.png`, if there are clinical numbers; it is the same in any convention.

    Raises:
        OutputError: It cannot be written.
    """
    if numbers.rows:
        score_plots.draw_bland_altman(numbers, folder / "bland_altman.png")


def _scans(places: Places, cases: Collection[str], task: Task) -> Mapping[str, Path]:
    if places.image_dir is None:
        return {}
    sides = (reference_maps(places.reference_dir), label_maps(places.prediction_dir))
    scored = [path for side in sides for path in side.values()]
    return scans.find(places.image_dir, cases, task, label_maps=scored)


def _worst(scores: Scores, task: Task, places: Places) -> Iterator[Shown]:
    references = reference_maps(places.reference_dir)
    predictions = label_maps(places.prediction_dir)
    ranked = worst_cases.worst(scores)
    images = _scans(places, [one.case for one in ranked], task)
    for one in ranked:
        sides = references[one.case], predictions[one.case]
        known, found = read_pair(task, *sides, resample=places.resample)
        image = None
        if one.case in images:
            image = formats.read(images[one.case])
            worst_cases.require_same_grid(image, known.grid, images[one.case])
        yield Shown(one, known, found, image)
