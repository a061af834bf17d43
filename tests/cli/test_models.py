"""`medseg models`: a model handed from one machine to another."""

import pytest

from medseg import bundle as bundles
from medseg import model_list
from medseg.__main__ import run


def _models(*arguments):
    return run(["models", *map(str, arguments)])


@pytest.mark.slow
def test_a_model_is_exported_verified_installed_used_and_removed(
    untrained, scan, tmp_path, home, capsys
):
    file = tmp_path / "model.zip"
    assert _models("export", untrained.folder, file) == 0
    assert _models("verify", file) == 0
    assert _models("install", file) == 0
    name = capsys.readouterr().out.splitlines()[-1]
    assert name == f"hippocampus-swin_unetr-{untrained.hash[:8]}"
    assert _models("install", file) == 0  # twice is once
    capsys.readouterr()
    assert _models("list") == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith(f"{name}  installed  Anterior and posterior hippocampus")
    assert run(["predict", str(scan), "--model", name]) == 0
    assert _models("verify", name) == 0
    assert _models("remove", name) == 0
    assert not list(home.rglob("weights.safetensors"))
    capsys.readouterr()
    assert _models("list") == 0
    assert "No model was trained" in capsys.readouterr().err
    assert _models("remove", name) == 5


def test_a_trained_model_is_taken_off_the_list_and_kept(untrained, home, capsys):
    model_list.add(untrained)
    name = model_list.name_of(untrained)
    assert _models("remove", name) == 0
    assert "its files stay in" in capsys.readouterr().out
    assert untrained.weights.is_file()
    assert model_list.models() == []
    assert home.exists()


@pytest.mark.usefixtures("home")
def test_a_model_that_is_not_installed_or_damaged_is_refused(untrained, scan, tmp_path, capsys):
    file = tmp_path / "model.zip"
    assert _models("export", untrained.folder, file) == 0
    assert run(["predict", str(scan), "--model", str(file)]) == 5
    assert "Install it with 'medseg models install" in capsys.readouterr().err
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    for verb in ("verify", "install"):
        assert _models(verb, file) == 5
        assert "was altered" in capsys.readouterr().err
    assert model_list.models() == []
    assert _models("install", tmp_path / "absent.zip") == 5
    assert _models("export", untrained.folder, tmp_path / "model.tar") == 2


@pytest.mark.usefixtures("home")
def test_a_model_is_handed_on_in_half_the_size_and_shows_its_card(untrained, tmp_path, capsys):
    half, whole = tmp_path / "half.zip", tmp_path / "whole.zip"
    carded = bundles.rounded(untrained, tmp_path / "carded", card="# Made of [nothing]\n")
    assert _models("export", untrained.folder, whole) == 0
    assert _models("export", carded.folder, half, "--half") == 0
    assert half.stat().st_size < 0.6 * whole.stat().st_size
    assert _models("install", half) == 0
    name = capsys.readouterr().out.splitlines()[-1]
    assert _models("show", name) == 0
    assert "# Made of [nothing]" in capsys.readouterr().out.splitlines()
    assert _models("show", untrained.folder) == 0
    said = capsys.readouterr()
    assert "swin_unetr; channels: t1" in said.out
    assert "no model card" in said.err


@pytest.mark.slow
@pytest.mark.usefixtures("home")
def test_a_shipped_model_segments_without_being_named(untrained, scan, tmp_path, capsys):
    bundles.rounded(untrained, tmp_path / "shipped" / "hippocampus", card="# A card\n")
    assert run(["predict", str(scan)]) == 0
    assert "You have no model of your own" in capsys.readouterr().err
    assert run(["predict", str(scan), "--model", "hippocampus", "--overwrite"]) == 0
    assert "You have no model of your own" not in capsys.readouterr().err
