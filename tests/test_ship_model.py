"""The script that puts a model among those that come with medseg."""

import importlib.util
import json
import shutil
import sys
from pathlib import Path

import pytest

from medseg import model_list
from medseg.training.run_folder import append_metrics

SCRIPT = Path(__file__).parents[1] / "docs" / "ship_model.py"


@pytest.fixture
def script():
    spec = importlib.util.spec_from_file_location("ship_model", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def trained(untrained, tmp_path):
    """A run folder with what the card is made of."""
    folder = tmp_path / "run"
    shutil.copytree(untrained.folder, folder / "bundle")
    case = {"name": "a", "images": ["a.nii.gz"], "label": None}
    parts = {"name": "folds", "training": [case, case], "held_out": [case]}
    (folder / "split.json").write_text(json.dumps(parts))
    append_metrics(folder / "metrics.csv", {"epoch": 1.0, "step": 9.0, "seconds": 1800.0})
    return folder


def ship(script, trained, tmp_path, monkeypatch, dice):
    scores = {"anterior": {"mean": {"dice": dice, "hd95_mm": 1.0}}}
    scores["posterior"] = {"mean": {"dice": dice - 0.02, "hd95_mm": 2.0}}
    monkeypatch.setattr(script, "scored", lambda *_: scores)
    monkeypatch.setattr(script.resources, "folder", _instead_of("models", tmp_path / "shipped"))
    monkeypatch.setattr(sys, "argv", ["ship_model.py", str(trained)])
    script.main()


def _instead_of(name, place):
    from medseg import resources

    real = resources.folder
    return lambda asked: place if asked == name else real(asked)


@pytest.mark.usefixtures("home")
def test_a_good_model_comes_with_its_data_licence_scores_and_limits(
    script, trained, tmp_path, monkeypatch
):
    ship(script, trained, tmp_path, monkeypatch, dice=0.9)
    (shipped,) = model_list.shipped()
    card = " ".join(shipped.bundle.card.split())
    assert "Trained on 2 cases for 30 minutes; 1 cases were held out" in card
    assert "licence: CC-BY-SA-4.0" in card
    assert "The Medical Segmentation Decathlon, Nature Communications" in card
    assert "| posterior | 0.880 | 2.00 | | mean | 0.890 | 1.50 |" in card
    assert "90 healthy adults" in card
    assert "mistyped" in card


@pytest.mark.usefixtures("home")
def test_a_model_below_the_bar_is_not_shipped(script, trained, tmp_path, monkeypatch):
    with pytest.raises(SystemExit, match=r"mean Dice 0\.8500"):
        ship(script, trained, tmp_path, monkeypatch, dice=0.86)
    assert model_list.shipped() == []


@pytest.mark.usefixtures("home")
def test_a_model_that_is_too_large_is_not_shipped(script, trained, tmp_path, monkeypatch):
    monkeypatch.setattr(script, "MOST_BYTES", 1_000)
    with pytest.raises(SystemExit, match="Not shipped"):
        ship(script, trained, tmp_path, monkeypatch, dice=0.9)
    assert model_list.shipped() == []
