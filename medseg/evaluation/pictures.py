"""All pictures of one evaluation: `boxes.png`, `bland_altman.png` and `worst_cases.png`."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from medseg import formats
from medseg.evaluation import scans, score_files, score_plots, worst_cases
from medseg.evaluation.clinical_numbers import ClinicalNumbers
from medseg.evaluation.evaluate import References, label_maps, read_pair
from medseg.evaluation.score import Scores
from medseg.evaluation.worst_cases import Shown


@dataclass(frozen=True)
class Places:
    """Where the files of an evaluation lie.

    Attributes:
        references: What is known to be right.
        prediction_dir: The predictions.
        image_dir: The scans, called as the cases are; None if there are none.
        resample: Whether predictions are brought onto their reference's grid.
    """

    references: References
    prediction_dir: Path
    image_dir: Path | None = None
    resample: bool = False


def require_scans(places: Places, cases: Collection[str]) -> None:
    """Check before anything is scored that every case that may be drawn has its scan.

    Raises:
        DataError: A case has none, or there is no such folder.
    """
    if places.image_dir is not None:
        _scans(places, cases)


def draw(scores: Scores, places: Places, folder: Path) -> None:
    """Draw `boxes.png` and `worst_cases.png`; the worst cases are read once more.

    Raises:
        DataError: The scan of a worst case is missing, or lies on another grid.
        OutputError: They cannot be written.
    """
    score_plots.draw_boxes(scores, score_files.shown(scores), folder / "boxes.png")
    worst_cases.draw(list(_worst(scores, places)), folder / "worst_cases.png")


def draw_agreement(numbers: ClinicalNumbers, folder: Path) -> None:
    """Draw `bland_altman.png`, if there are clinical numbers; it is the same in any convention.

    Raises:
        OutputError: It cannot be written.
    """
    if numbers.rows:
        score_plots.draw_bland_altman(numbers, folder / "bland_altman.png")


def _scans(places: Places, cases: Collection[str]) -> Mapping[str, Path]:
    if places.image_dir is None:
        return {}
    known, predictions = places.references, label_maps(places.prediction_dir)
    scored = [*known.paths.values(), *predictions.values()]
    return scans.find(places.image_dir, cases, known.task, label_maps=scored)


def _worst(scores: Scores, places: Places) -> Iterator[Shown]:
    predictions = label_maps(places.prediction_dir)
    ranked = worst_cases.worst(scores)
    images = _scans(places, [one.case for one in ranked])
    for one in ranked:
        known, found = read_pair(
            places.references, one.case, predictions[one.case], resample=places.resample
        )
        image = None
        if one.case in images:
            image = formats.read(images[one.case])
            worst_cases.require_same_grid(image, known.grid, images[one.case])
        yield Shown(one, known, found, image)
