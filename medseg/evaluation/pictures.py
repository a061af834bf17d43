"""All pictures of one evaluation: `boxes.png`, `bland_altman.png` and `worst_cases.png`."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from medseg import formats
from medseg.errors import DataError
from medseg.evaluation import score_files, score_plots, worst_cases
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


def draw(scores: Scores, numbers: ClinicalNumbers, places: Places, folder: Path) -> None:
    """Draw all pictures into `folder`; the worst cases are read once more.

    Raises:
        DataError: The scan of a worst case is missing, or lies on another grid.
        OutputError: They cannot be written.
    """
    columns = [column for column in scores.columns if column in score_files.SHOWN]
    score_plots.draw_boxes(scores, columns, folder / "boxes.png")
    if numbers.rows:
        score_plots.draw_bland_altman(numbers, folder / "bland_altman.png")
    worst_cases.draw(list(_worst(scores, places)), folder / "worst_cases.png")


def _worst(scores: Scores, places: Places) -> Iterator[Shown]:
    predictions = label_maps(places.prediction_dir)
    for ranked in worst_cases.worst(scores):
        case = ranked.case
        known, found = read_pair(
            places.references, case, predictions[case], resample=places.resample
        )
        image = None
        if places.image_dir is not None:
            path = _image_of(case, places.image_dir)
            image = formats.read(path)
            worst_cases.require_same_grid(image, known.grid, path)
        yield Shown(ranked, known, found, image)


def _image_of(case: str, folder: Path) -> Path:
    """Return the case's scan, or the first of its channels, such as `CASE_0000.nii.gz`."""
    files = sorted(folder.iterdir()) if folder.is_dir() else []
    stems = {formats.stem(path): path for path in files if formats.suffix_of(path)}
    channels = [path for stem, path in stems.items() if stem.startswith((f"{case}_", f"{case}-"))]
    if case not in stems and not channels:
        raise DataError(
            f"holds no scan of {case}",
            where=folder,
            remedy=f"Give the folder of {case}.nii.gz and the others, or leave out --images",
        )
    return stems.get(case) or channels[0]
