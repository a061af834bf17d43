"""`medseg phantom`."""

import json

from medseg.__main__ import run


def test_a_data_set_is_made(tmp_path, capsys):
    folder = tmp_path / "phantom"
    assert run(["phantom", str(folder), "--cases", "5", "--test-cases", "1"]) == 0
    assert str(folder) in capsys.readouterr().out
    assert len(json.loads((folder / "dataset.json").read_text())["training"]) == 5
    assert len(list((folder / "imagesTs").iterdir())) == 1


def test_a_folder_with_files_is_left_alone(tmp_path, capsys):
    (tmp_path / "dataset.json").write_text("{}")
    assert run(["phantom", str(tmp_path)]) == 2
    assert "is not empty" in capsys.readouterr().err
    assert (tmp_path / "dataset.json").read_text() == "{}"
