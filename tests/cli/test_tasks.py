"""`medseg tasks`, and a task of one's own."""

import pytest
import yaml

from medseg import task as task_files
from medseg.__main__ import run
from tests.fake_data import FORMS


def test_every_task_is_listed(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    assert run(["tasks"]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in task_files.names())
    assert "innermost" in shown


@pytest.fixture
def written(tmp_path):
    """Writes a task for a fake data set and returns it with its card."""

    def done(form, name):
        FORMS[form](tmp_path / form)
        arguments = [str(tmp_path / form), "--name", name, "-o", str(tmp_path)]
        assert run(["tasks", "new", *arguments]) == 0
        card = (tmp_path / f"{name}.md").read_text(encoding="utf-8")
        return task_files.read(tmp_path / f"{name}.yaml"), card

    return done


@pytest.mark.usefixtures("home")
def test_a_task_and_a_card_are_written_to_fill_in_and_fit_the_data(written, tmp_path, capsys):
    task, card = written("case_folders", "lesions")
    assert task.channels == dict.fromkeys(("flair", "t1", "t1post", "t2"), "mr")
    assert {name: label.value for name, label in task.labels.items()} == {"label_1": 1}
    facts = yaml.safe_load(card.split("---\n")[1])
    assert facts["labels"] == {"label_1": 1}
    assert "## Who is in them" in card
    assert f"--task {tmp_path / 'lesions.yaml'}" in capsys.readouterr().out
    command = ["check", str(tmp_path / "case_folders"), "--task", str(tmp_path / "lesions.yaml")]
    assert run(command) == 0


def test_what_the_data_say_is_taken_over(written):
    task, _ = written("nnunet", "tumours")
    assert task.region_names == ("whole_tumor", "tumor_core", "enhancing_tumor")
    assert task.labels_of("tumor_core") == ("label_2", "label_3")
    assert not task.exclusive
    task, _ = written("pairs", "organs")
    assert task.channels == {"image": "ct"}  # it holds air in Hounsfield units


def test_nothing_is_overwritten_and_nothing_made_of_an_unknown_folder(written, tmp_path, capsys):
    written("pairs", "organs")
    again = ["tasks", "new", str(tmp_path / "pairs"), "--name", "organs", "-o", str(tmp_path)]
    assert run(again) == 2
    assert "Choose another --name" in capsys.readouterr().err
    (tmp_path / "empty").mkdir()
    assert run(["tasks", "new", str(tmp_path / "empty")]) == 2
    assert "two folders, images and labels" in capsys.readouterr().err
    assert run(["tasks", "new"]) == 2
