"""All pictures of an evaluation."""

import nibabel  # noqa: F401 - pulls in what matplotlib needs, before warnings become errors
import numpy as np
import pytest

from medseg.errors import DataError
from medseg.evaluation import clinical_numbers, pictures, worst_cases
from medseg.evaluation.evaluate import evaluate, references
from medseg.evaluation.pictures import Places


@pytest.fixture
def places(tmp_path, put, rng, hippocampus_task):
    known = np.zeros((8, 8, 8), dtype=np.uint8)
    known[1:4, 1:4, 1:4] = 1
    known[5:7, 5:7, 5:7] = 2
    for case in ("a", "b"):
        found = np.where(known == 2, 0, known).astype(np.uint8) if case == "b" else known
        put(tmp_path / f"reference/{case}.nii.gz", known)
        put(tmp_path / f"prediction/{case}_seg.nii.gz", found)
    scan = rng.normal(size=known.shape).astype(np.float32)
    put(tmp_path / "images/a_0000.nii.gz", scan)
    put(tmp_path / "images/a_0001.nii.gz", scan)
    put(tmp_path / "images/b.nii.gz", scan)
    known = references(hippocampus_task, tmp_path / "reference")
    return Places(known, tmp_path / "prediction")


def draw(places, task, folder):
    scores = evaluate(task, places.references.place, places.prediction_dir)
    pictures.draw(scores, places, folder)
    pictures.draw_agreement(clinical_numbers.measure(scores, task), folder)


def test_three_pictures_are_drawn(places, hippocampus_task, tmp_path):
    draw(places, hippocampus_task, tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "bland_altman.png",
        "boxes.png",
        "worst_cases.png",
    ]


def test_a_task_without_clinical_numbers_has_no_plot_of_them(places, hippocampus_task, tmp_path):
    none = hippocampus_task.model_copy(update={"clinical": ()})
    draw(places, none, tmp_path / "out")
    assert not (tmp_path / "out/bland_altman.png").exists()


def test_scans_are_found_by_their_case(places, hippocampus_task, tmp_path, monkeypatch):
    kept = []
    monkeypatch.setattr(worst_cases, "draw", lambda cases, _: kept.extend(cases))
    with_scans = Places(places.references, places.prediction_dir, tmp_path / "images")
    draw(with_scans, hippocampus_task, tmp_path / "out")
    assert [(one.ranked.case, one.image is not None) for one in kept] == [("b", True), ("a", True)]


def test_a_scan_that_is_not_there_is_named(places, hippocampus_task, tmp_path):
    (tmp_path / "images/b.nii.gz").unlink()
    with_scans = Places(places.references, places.prediction_dir, tmp_path / "images")
    with pytest.raises(DataError, match="images: holds no scan of b"):
        draw(with_scans, hippocampus_task, tmp_path / "out")


def test_scans_are_looked_for_before_anything_is_scored(places, tmp_path):
    with_scans = Places(places.references, places.prediction_dir, tmp_path / "images")
    pictures.require_scans(with_scans, ["a", "b"])
    pictures.require_scans(places, ["a", "z"])  # no scans are asked for
    with pytest.raises(DataError, match="holds no scan of z"):
        pictures.require_scans(with_scans, ["a", "z"])


def test_label_maps_are_no_scans(places):
    same = Places(places.references, places.prediction_dir, places.references.place)
    with pytest.raises(DataError, match="holds no scan of a"):
        pictures.require_scans(same, ["a"])
