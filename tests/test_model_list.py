import json
import shutil
from pathlib import Path

import platformdirs
import pytest
import torch

from medseg import bundle as bundles
from medseg import bundle_archive, model_list
from medseg.errors import ModelError


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """An empty list of models."""
    place = tmp_path / "home of Zoë"
    monkeypatch.setenv("MEDSEG_HOME", str(place))
    monkeypatch.setattr(model_list, "shipped_folder", lambda: tmp_path / "shipped")
    return place


@pytest.fixture
def train(tmp_path, hippocampus_task, make_plan):
    """Makes a run folder with a bundle and puts it on the list."""

    def done(name):
        folder = tmp_path / name / "bundle"
        weights = {"weight": torch.zeros(1)}
        made = bundles.write(folder, hippocampus_task, make_plan(), weights)
        model_list.add(made)
        return made

    return done


def test_without_models_the_error_says_how_to_get_one():
    with pytest.raises(ModelError, match=r"no model was trained .* Train one with 'medseg train'"):
        model_list.choose(None)


def test_the_only_model_need_not_be_named(train):
    made = train("run with a blank")
    assert model_list.choose(None) == made


def test_the_choice_among_several_is_left_to_the_user(train):
    first, second = train("first"), train("second")
    with pytest.raises(ModelError) as caught:
        model_list.choose(None)
    assert str(caught.value).splitlines() == [
        "there are 2 models on this machine:",
        f"  --model {first.folder}",
        f"  --model {second.folder}",
        "None of them was chosen. Name one with --model.",
    ]
    assert model_list.choose(second.folder) == second
    assert model_list.choose(first.folder.parent) == first


def test_a_model_that_was_trained_again_in_its_place_is_one_model(train):
    train("run")
    assert model_list.choose(None) == train("run")


@pytest.mark.parametrize("leave", ["moved", "deleted"])
def test_models_that_are_gone_are_passed_over(train, tmp_path, leave):
    gone, kept = train("gone"), train("kept")
    if leave == "moved":
        gone.folder.parent.rename(tmp_path / "moved")
    else:
        shutil.rmtree(gone.folder)
    assert model_list.places() == [kept.folder]
    assert model_list.choose(None) == kept


@pytest.mark.parametrize(
    "entry", [b"", b"{", b"[]", b"3", b"{}", b'{"bundle": 3}', b"\xff\xfe", b'{"bundle": null}']
)
def test_a_damaged_entry_does_not_hide_the_others(train, home, entry):
    kept = train("kept")
    (home / "models" / "damaged.json").write_bytes(entry)
    (home / "models" / "folder.json").mkdir()
    assert model_list.places() == [kept.folder]


def test_a_bundle_is_listed_by_its_full_path(train, tmp_path, monkeypatch, home):
    monkeypatch.chdir(tmp_path)
    made = train("run")
    model_list.add(bundles.Bundle(Path("run/bundle"), made.task, made.plan))
    (entry,) = (home / "models").iterdir()
    assert json.loads(entry.read_text()) == {"bundle": str(made.folder)}


def test_a_path_that_is_no_unicode_can_be_listed(train, tmp_path):
    made = train("run")
    odd = made.folder.parent.rename(tmp_path / "run\udcff")
    model_list.add(bundles.Bundle(odd / "bundle", made.task, made.plan))
    assert model_list.places() == [odd / "bundle"]


def test_the_list_lies_in_the_users_data_folder_unless_the_environment_says_where(
    home, tmp_path, monkeypatch
):
    assert model_list.folder() == home / "models"
    monkeypatch.setenv("MEDSEG_HOME", "")
    monkeypatch.setattr(platformdirs, "user_data_path", lambda name: tmp_path / name)
    assert model_list.folder() == tmp_path / "medseg" / "models"


def test_an_installed_model_is_listed_chosen_by_its_name_and_removed(train, home, tmp_path):
    made = train("run")
    bundle_archive.export(made, tmp_path / "model.zip")
    model_list.remove(model_list.name_of(made))
    assert made.folder.is_dir()
    assert model_list.models() == []
    installed = model_list.install(tmp_path / "model.zip")
    assert installed.name == f"hippocampus-swin_unetr-{made.hash[:8]}"
    assert installed.bundle.folder.is_relative_to(home)
    assert model_list.models() == [installed]
    assert model_list.choose(Path(installed.name)) == installed.bundle
    assert model_list.remove(installed.name) == installed
    assert not installed.bundle.folder.exists()
    with pytest.raises(ModelError, match="there is no model"):
        model_list.remove(installed.name)


def test_a_bundle_in_a_file_must_be_installed_first(train, tmp_path):
    bundle_archive.export(train("run"), tmp_path / "model.zip")
    with pytest.raises(ModelError, match="Install it with 'medseg models install"):
        model_list.choose(tmp_path / "model.zip")


def test_a_program_learns_what_a_model_needs_and_finds(train):
    made = train("run")
    (told,) = json.loads(json.dumps(model_list.document(model_list.models())))
    assert told["name"] == model_list.name_of(made)
    assert (told["task"], told["network"]) == ("hippocampus", "swin_unetr")
    assert (told["folder"], told["installed"]) == (str(made.folder.resolve()), False)
    (channel,) = told["channels"]
    assert (channel["name"], channel["modality"]) == ("t1", "mr")
    assert {"t1", "t1w"} <= set(channel["spellings"])
    assert told["labels"][1] == {
        "name": "posterior",
        "title": "Posterior hippocampus",
        "value": 2,
        "colour": "#3080c0",
    }


@pytest.fixture
def ship(tmp_path, hippocampus_task, make_plan):
    """Puts a model among those that come with medseg."""

    def done(name):
        folder = tmp_path / "shipped" / name
        folder.parent.mkdir(exist_ok=True)
        weights = {"weight": torch.full((1,), float(len(name)))}
        return bundles.write(folder, hippocampus_task, make_plan(), weights, card="# Limits\n")

    return done


def test_a_shipped_model_is_taken_only_by_a_user_without_one(ship, train):
    shipped = ship("hippocampus")
    assert model_list.choose(None) == shipped
    assert model_list.is_shipped(shipped)
    own = train("run")
    assert model_list.choose(None) == own
    assert not model_list.is_shipped(own)


def test_a_shipped_model_is_listed_named_shortly_and_stays(ship):
    shipped = ship("hippocampus")
    (listed,) = model_list.models()
    assert (listed.kind, listed.bundle) == ("shipped", shipped)
    assert model_list.document([listed])[0]["shipped"] is True
    assert model_list.choose(Path("hippocampus")) == model_list.choose(Path(listed.name)) == shipped
    with pytest.raises(ModelError, match="came with medseg"):
        model_list.remove(listed.name)
    assert model_list.choose(None) == shipped


def test_of_several_shipped_models_one_must_be_named(ship):
    ship("a"), ship("bb")
    with pytest.raises(ModelError, match="there are 2 models"):
        model_list.choose(None)


def test_every_model_that_comes_with_medseg_is_sound_small_and_has_a_card(monkeypatch):
    monkeypatch.undo()
    for model in model_list.shipped():
        assert model.bundle.weights.stat().st_size < 10_000_000
        assert "CC-BY-SA-4.0" in (model.bundle.card or "")
        assert model.bundle.build_network()
