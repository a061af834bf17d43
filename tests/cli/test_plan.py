"""`medseg plan` writes what `medseg train --plan` trains by."""

import json

import pytest
import yaml

from medseg.__main__ import run
from medseg.data.phantom import write_dataset
from medseg.training.run_folder import read_metrics

pytestmark = pytest.mark.usefixtures("home")


@pytest.fixture
def data(tmp_path):
    folder = tmp_path / "phantom data"
    write_dataset(
        folder, cases=5, test_cases=1, seed=3, shape=(20, 20, 16), spacing_mm=(2.4, 2.4, 2.5)
    )
    return folder


@pytest.fixture
def asked(data, small_settings):
    changes = [part for setting in small_settings for part in ("--set", setting)]
    return ["plan", "--task", "phantom", "--data", str(data), *changes]


@pytest.mark.slow
def test_a_plan_is_written_changed_and_trained_by(asked, data, tmp_path, capsys):
    file, out = tmp_path / "my plan.yaml", tmp_path / "run"
    assert run([*asked, "-o", str(file)]) == 0
    assert "--plan" in capsys.readouterr().out
    text = file.read_text()
    assert "# From the median" in text or "# As it was asked for" in text
    file.write_text(text.replace("patch: [16, 16, 16]", "patch: [16, 16, 8]"))
    train = ["train", "--task", "phantom", "--data", str(data), "--plan", str(file)]
    assert run([*train, "--out", str(out), "--epochs", "1", "--seed", "7"]) == 0
    used = yaml.safe_load((out / "plan.yaml").read_text())
    assert used["patch"] == [16, 16, 8]
    assert (used["training"]["epochs"], used["training"]["seed"]) == (1, 7)
    assert yaml.safe_load((out / "bundle" / "plan.yaml").read_text()) == used
    asked_for = json.loads((out / "run.json").read_text())
    assert asked_for["plan"] == str(file.resolve())
    assert "[16, 16, 8]" in asked_for["plan_text"]
    assert [row["step"] for row in read_metrics(out / "metrics.csv")] == [2]
    # the plan is the run's own: what becomes of the file changes nothing
    file.unlink()
    assert run(["train", "--resume", "--out", str(out)]) == 0


def test_without_a_file_it_is_printed(asked, capsys):
    assert run(asked) == 0
    shown = capsys.readouterr().out
    assert yaml.safe_load(shown)["patch"] == [16, 16, 16]
    assert "\n# That of the task" in shown or "\n# The median of the training cases" in shown


def test_weights_to_begin_with_are_asked_for_again_and_the_papers_recipe_is_told(
    asked, untrained, tmp_path, capsys
):
    file = tmp_path / "plan.yaml"
    more = ["-o", str(file), "--init", str(untrained.folder), "--network", "swin_unetr"]
    assert run([*asked, *more]) == 0
    shown = capsys.readouterr()
    assert f"--plan {file} --init {untrained.folder}" in " ".join(shown.out.split())
    assert "Trains as the paper of swin_unetr did" in " ".join(shown.err.split())


def test_a_file_that_is_there_is_not_overwritten(asked, tmp_path, capsys):
    file = tmp_path / "plan.yaml"
    file.write_text("mine")
    assert run([*asked, "-o", str(file)]) == 2
    assert "is there already" in capsys.readouterr().err
    assert file.read_text() == "mine"


@pytest.mark.parametrize(
    ("content", "more", "message"),
    [
        ("batch: 2", (), "mine.yaml: network: Field required"),
        (None, (), "mine.yaml: cannot be read as a plan. Name the file that 'medseg plan'"),
        ("batch: 2", ("--network", "d_former"), "Leave out --network and --recipe"),
        ("batch: 2", ("--recipe", "default"), "Leave out --network and --recipe"),
    ],
)
def test_a_wrong_plan_is_refused_before_the_data_are_read(tmp_path, capsys, content, more, message):
    file = tmp_path / "mine.yaml"
    if content is not None:
        file.write_text(content)
    train = ["train", "--task", "phantom", "--data", str(tmp_path), "--plan", str(file)]
    assert run([*train, *more]) == 2
    assert message in " ".join(capsys.readouterr().err.split())


def test_nothing_is_planned_without_data(capsys):
    assert run(["plan"]) == 2
    assert "neither --task nor --data" in capsys.readouterr().err
