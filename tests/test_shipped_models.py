"""The models that come with medseg, as they lie in `models/`."""

import nibabel
import numpy as np
import pytest

from medseg import bundle_archive, model_list, resources
from medseg import task as tasks
from medseg.__main__ import run
from medseg.data import folds, layouts

SHIPPED = [model.bundle for model in model_list.shipped()]
MOST_BYTES = 10_000_000
LEAST_DICE = 0.86


def test_the_hippocampus_has_a_model():
    assert [bundle.task.name for bundle in SHIPPED] == ["hippocampus"]


@pytest.mark.parametrize("bundle", SHIPPED, ids=lambda bundle: bundle.folder.name)
def test_a_model_is_small_and_its_card_tells_its_licence_scores_and_limits(bundle, tmp_path):
    packed = tmp_path / "model.zip"
    bundle_archive.export(bundle, packed)
    assert packed.stat().st_size <= MOST_BYTES
    assert sum(file.stat().st_size for file in bundle.folder.iterdir()) <= MOST_BYTES
    for words in ("CC-BY-SA-4.0", "research", "## Scores", "## Limits", "## Who is in the data"):
        assert words in bundle.card


def dice(predicted, reference, value):
    a, b = predicted == value, reference == value
    return 2 * (a & b).sum() / (a.sum() + b.sum())


@pytest.mark.slow
@pytest.mark.real_data
def test_without_any_training_predict_segments_scans_that_were_held_out(
    real_data, home, tmp_path, monkeypatch
):
    monkeypatch.setattr(model_list, "shipped_folder", lambda: resources.folder("models"))
    data = real_data / "hippocampus" / "Task04_Hippocampus"
    found = layouts.find(data, tasks.read("hippocampus"))
    held_out = folds.split(list(layouts.require_labelled(found.data_set)), fold=0).held_out
    assert len(held_out) == 42
    out = tmp_path / "out"
    assert run(["predict", *(str(case.images[0]) for case in held_out), "-o", str(out)]) == 0
    table = []
    for case in held_out:
        predicted = np.asarray(nibabel.load(out / f"{case.name}_seg.nii.gz").dataobj)
        reference = np.asarray(nibabel.load(case.label).dataobj)
        table.append([dice(predicted, reference, value) for value in (1, 2)])
    assert np.mean(table) >= LEAST_DICE
    assert not (home / "models").exists()  # nothing was trained or installed
